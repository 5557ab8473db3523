"""What a run gives back."""

from dataclasses import dataclass
from typing import Any

from .errors import (
    BusyError,
    ClewError,
    ConfigError,
    ConflictError,
    LimitReached,
    NotAllowed,
    NotFoundError,
    ProviderDown,
    RateLimited,
    RequestRefused,
    SchemaMismatch,
    StoreError,
    UsageError,
)
from .lines import RunLine, State
from .messages import Message
from .records import Status
from .store import Problem
from .usage import RunMetrics

_CLASSES: dict[str, type[ClewError]] = {
    cls.kind: cls
    for cls in (
        BusyError,
        ConfigError,
        ConflictError,
        LimitReached,
        NotAllowed,
        NotFoundError,
        ProviderDown,
        RateLimited,
        RequestRefused,
        SchemaMismatch,
        StoreError,
        UsageError,
    )
}


@dataclass(frozen=True)
class RunOutput:
    """One finished run.

    `line` is the run as it was stored; where nothing was stored, its `seq` is null. `store_error`
    tells why a line could not be stored, `repeated` that the run had been made before and nothing
    was called. `recovered` are runs that were found dead and stored before this one, `problems`
    what was skipped or moved aside in the session, `warnings` what did not come of a summary or a
    name.
    """

    line: RunLine
    store_error: ClewError | None = None
    repeated: bool = False
    recovered: tuple[RunLine, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.line["run_id"]

    @property
    def session_id(self) -> str:
        """The session it belongs to."""
        return self.line["session_id"]

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.line["status"]

    @property
    def content(self) -> str:
        """The answer, or as much as came."""
        return self.line["content"]

    @property
    def data(self) -> Any:
        """The answer as an object, when a schema was asked for."""
        return self.line["data"]

    @property
    def messages(self) -> list[Message]:
        """The run's own messages."""
        return self.line["messages"]

    @property
    def metrics(self) -> RunMetrics:
        """What the run used."""
        return self.line["metrics"]

    @property
    def session_state(self) -> State:
        """The session's state after the run."""
        return self.line["session_state"]

    @property
    def exit_code(self) -> int:
        """What a command that made this run ends with."""
        return self.store_error.exit_code if self.store_error else self.line["exit_code"]

    def raise_for_status(self) -> "RunOutput":
        """Return this run if it is COMPLETED and stored as asked; raise its error otherwise."""
        if self.store_error is not None:
            raise self.store_error
        error = self.line["error"]
        if error is not None:
            failure = _CLASSES.get(error["kind"], ClewError)(error["message"], hint=error["hint"])
            failure.kind, failure.exit_code = error["kind"], error["exit_code"]
            raise failure
        return self
