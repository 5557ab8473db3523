"""What agents, teams and workflows have in common: how they are asked for a run."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from .answer_schema import check_input
from .attachments import Source
from .calling import call, look_ahead
from .errors import UsageError
from .events import LastKept, Listener
from .history import HistoryPolicy
from .ids import agent_name
from .invocation import Asked, Invocation, ignore
from .limits import Budget, Limits
from .lines import State
from .order import Order, Plan
from .result import RunOutput
from .session import StateChange
from .state import storable_value
from .store import SessionLog, Store
from .upkeep import Done


@dataclass(frozen=True, kw_only=True)
class Defined(ABC):
    """Something that can be run, by its name, and how much of it there may be.

    `session_state` is what a new session starts with. `input_schema` is a JSON Schema for the
    prompt. `params` are names and their defaults, None where a value has to be given.
    """

    name: str | None = None
    description: str = ""
    session_state: State = field(default_factory=dict)
    input_schema: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    budget: Budget = Budget()
    metadata: dict[str, Any] = field(default_factory=dict)

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if self.name is not None:
            agent_name(self.name)

    @property
    @abstractmethod
    def history_policy(self) -> HistoryPolicy:
        """What it sends of the earlier turns, where nobody says otherwise."""

    @abstractmethod
    def order(self, asked: Asked, log: SessionLog, how: Invocation) -> Order:
        """Return what is to be done; raise NotFoundError for a model nobody has."""

    @property
    @abstractmethod
    def tends(self) -> bool:
        """Whether something is wanted of a session after a run."""

    @abstractmethod
    def tend(self, result: RunOutput, how: Invocation) -> Iterator[Done]:
        """Have made what is wanted of a session after a run that is completed and stored.

        Each is made when it is asked for; what came of it is yielded, a failure too.
        """

    def run(
        self,
        input: str = "",
        *,
        session_id: str | None = None,
        user_id: str = "default",
        run_id: str | None = None,
        store: Store | None = None,
        add_history_to_context: bool | None = None,
        session_state: State | None = None,
        files: Sequence[Source] = (),
        on_event: Listener = ignore,
    ) -> RunOutput:
        """Ask once and return the finished run, also one that failed.

        `raise_for_status` of the result raises the error of a failed run. Without `store` nothing
        is kept; the run has both its ids all the same. `session_state` is merged into the
        session's state. `add_history_to_context` says otherwise than the definition whether
        history is sent. What is raised here (UsageError for a bad id or file, NotFoundError,
        ConflictError, ConfigError, BusyError, StoreError, DamagedError) was found before anything
        was sent to a model.
        """
        policy = self.history_policy
        if add_history_to_context is not None:
            policy = replace(policy, on=add_history_to_context)
        patch = storable_value(session_state or {}, "session_state")
        last = LastKept(on_event)
        how = Invocation(
            store=store,
            session_id=session_id,
            user_id=user_id,
            run_id=run_id,
            history=policy,
            change=StateChange(patch=patch),
            files=files,
            on_event=last if self.tends else on_event,
        )
        try:
            result = self.invoke(input, how)
            failures = [done.error for done in self.tend(result, how) if done.error is not None]
        finally:
            last.tell()
        return replace(result, warnings=tuple(error.message for error in failures))

    def invoke(self, input: str, how: Invocation) -> RunOutput:
        """Run as `run` does, with every detail in one object, but for what comes after: `tend`."""
        return call(self, input, how)

    def preview(self, input: str, how: Invocation) -> Plan:
        """Return what `invoke` would send now. Writes nothing and waits for nobody."""
        return look_ahead(self, input, how)

    def check(self, input: str, how: Invocation) -> None:
        """Raise UsageError for params or, in a new run, an input that do not fit."""
        self.values(how)
        if self.input_schema is not None and how.resume is None:
            check_input(input, self.input_schema)

    def values(self, how: Invocation) -> dict[str, Any]:
        """Return the params by name; raise UsageError for one that is missing or not known."""
        for name in how.params:
            if name not in self.params:
                known = ", ".join(self.params) or "none"
                raise UsageError(
                    f"no param {name!r}", hint=f"the {self.kind}'s params are: {known}"
                )
        values = self.params | how.params
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise UsageError(
                f"the {self.kind} needs the param {missing[0]!r}",
                hint=f"give --param {missing[0]}=…",
            )
        return values

    @property
    def takes(self) -> frozenset[str]:
        """The names of the params that may be given."""
        return frozenset(self.params)

    def inside(self, how: Invocation, log: SessionLog) -> Invocation:
        """Return how it is called by a run around it that is called so: its history is its own."""
        return replace(
            how.with_params(self.takes),
            session_id=log.session_id,
            session_name=None,
            run_id=None,
            history=replace(self.history_policy, of=self.name),
            files=(),
            change=StateChange(),
            system=None,
            source=None,
            metadata={},
            resume=None,
            process=None,
        )

    def initial_state(self) -> State:
        """Return what a new session starts with."""
        initial: State = storable_value(self.session_state, "session_state")
        return initial

    @staticmethod
    def names(asked: Asked, log: SessionLog, how: Invocation) -> dict[str, str]:
        """Return what a command needs to find the run and, where it is kept, the session."""
        kept = how.store is not None and how.store.keeps and how.keep
        session = {"CLEW_SESSION": log.session_id} if kept else {}
        return {"CLEW_RUN": asked.run_id, "CLEW_USER": log.user_id, **session}
