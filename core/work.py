"""What a run does between its intent and its line: asks a model, or runs steps."""

from dataclasses import dataclass
from typing import Any, Protocol

from .errors import ClewError
from .inside import Outer
from .lines import RunLine
from .records import Status
from .run_state import RunState
from .store import Flight, SessionLog
from .tools import RunContext


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Status
    exit_code: int
    error: ClewError | None = None
    data: Any = None


@dataclass(frozen=True)
class Begun:
    """A run that has begun: its intent is on disk. `outer` is what it is to those inside it."""

    log: SessionLog
    flight: Flight
    outer: Outer
    state: RunState
    context: RunContext


class Work(Protocol):
    """What a run does; holds what came of it, also when it ends in an error."""

    @property
    def unstored(self) -> ClewError | None:
        """Why a run inside this one could not be stored, if one could not."""

    def go(self) -> Outcome:
        """Do it all. Raises ClewError for what ends the run, Cancelled when it is to stop."""

    def end(self, intent: RunLine, outcome: Outcome) -> RunLine:
        """Return the line of the run, which ended so; there is no more to do."""
