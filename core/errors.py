"""Every failure clew can name, and the exit code each one ends in.

    ClewError                       1
    ├── UsageError                  2   the call itself is wrong
    ├── NotFoundError               3   session, run, model, definition, state path
    │   └── ReplayMiss              3   no recorded run has this input
    ├── SchemaMismatch              4   the answer did not fit the schema
    ├── LimitReached                5   cost, tokens or time
    ├── ConflictError               7   compare-and-set lost, id or name taken
    ├── DamagedError               65   a session file cannot be read
    ├── StoreError                 74   something cannot be read or written
    ├── ToolServerDown              1   a server of tools cannot be used
    ├── StepFailed                  1   a step of a workflow failed, or was not allowed
    ├── BusyError                  75   another process has the turn
    ├── ConfigError                78   bad or untrusted configuration
    └── ModelError                  1   the model's side
        ├── RequestRefused          1   content filter, other 4xx
        ├── ProviderDown           69   connection, 408, 5xx, cut or garbled stream
        ├── RateLimited            75   429 to the end
        └── NotAllowed             77   no key, 401, 403

`Cancelled` stands outside: like KeyboardInterrupt it is nobody's to catch by accident.
"""

from .typed import TypedDict


class ErrorRecord(TypedDict):
    """An error as it stands in a line and in JSON output."""

    kind: str
    message: str
    hint: str | None
    retryable: bool
    exit_code: int


class ClewError(Exception):
    """A failure with one clear line for the user.

    `kind` is its word in JSON, `exit_code` the process's end, `hint` what to do next.
    """

    kind = "error"
    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def record(self) -> ErrorRecord:
        """Return the error as data."""
        return {
            "kind": self.kind,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            "exit_code": self.exit_code,
        }


class UsageError(ClewError):
    """The call is wrong: an option, a value, an input."""

    kind = "usage"
    exit_code = 2


class NotFoundError(ClewError):
    """What was named does not exist."""

    kind = "not_found"
    exit_code = 3


class ReplayMiss(NotFoundError):
    """No recorded run answers this input."""

    kind = "replay_miss"


class SchemaMismatch(ClewError):
    """The answer is not the JSON that was asked for."""

    kind = "schema_mismatch"
    exit_code = 4


class LimitReached(ClewError):
    """A limit of this run was reached, or of one around it; what came so far is kept.

    `run_id` is whose limit it is, where that is known.
    """

    kind = "limit"
    exit_code = 5
    run_id: str | None = None


class ConflictError(ClewError):
    """Somebody else was first: a taken id or name, a lost compare-and-set."""

    kind = "conflict"
    exit_code = 7


class DamagedError(ClewError):
    """A session file holds something that is not a line."""

    kind = "damaged"
    exit_code = 65


class StoreError(ClewError):
    """Something could not be read or written, or is not safe to write to."""

    kind = "store"
    exit_code = 74


class StepFailed(ClewError):
    """A step of a workflow failed, or somebody did not allow it."""

    kind = "step"

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class BusyError(ClewError):
    """Another process has the turn of this session."""

    kind = "busy"
    exit_code = 75
    retryable = True


class ConfigError(ClewError):
    """A setting is wrong or may not be used here."""

    kind = "config"
    exit_code = 78


class ToolServerDown(ClewError):
    """A server that has the run's tools did not start, or cannot be reached."""

    kind = "tool_server"


class ModelError(ClewError):
    """The model's side failed.

    `retry_after` is how many seconds the provider asks to wait, where it says so.
    """

    kind = "model"

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RequestRefused(ModelError):
    """The provider understood the request and will not answer it."""

    kind = "refused"


class ProviderDown(ModelError):
    """The provider could not be reached, or broke off."""

    kind = "provider"
    exit_code = 69
    retryable = True


class RateLimited(ModelError):
    """The provider asks to slow down."""

    kind = "rate_limit"
    exit_code = 75
    retryable = True


class NotAllowed(ModelError):
    """The provider does not accept the key, or there is none."""

    kind = "auth"
    exit_code = 77


class Cancelled(BaseException):
    """Somebody stopped the run; `signum` is the signal, if it was one."""

    def __init__(self, signum: int = 2) -> None:
        super().__init__(signum)
        self.signum = signum
