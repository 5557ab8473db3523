"""A session of which nothing is kept: without a store, or reading one and leaving no trace."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

from .clock import now
from .lines import Line, RunLine, SessionLine
from .session import Drafter, Tip, fold, seal, tip_after
from .store import Flight, InFlight, Problem, SessionLog, Waiting


class UnkeptLog:
    """Reads the session behind it, if there is one, and writes nothing; its lines have no seq.

    `around` is the handle of the run around the one that this is for: what either would have stored
    counts for the other.
    """

    def __init__(
        self,
        session_id: str,
        user_id: str,
        behind: SessionLog | None = None,
        around: "UnkeptLog | None" = None,
    ) -> None:
        self.session_id = session_id
        self.user_id = user_id
        self.location = behind.location if behind else "memory"
        self._behind = behind
        self._unstored: list[Line] = around._unstored if around else []
        self._append: Lock = around._append if around else Lock()

    @property
    def problems(self) -> list[Problem]:
        """What the session behind has skipped."""
        return self._behind.problems if self._behind else []

    def exists(self) -> bool:
        """Tell whether there is a session behind that exists."""
        return self._behind is not None and self._behind.exists()

    def lines(self) -> Iterator[Line]:
        """Yield the lines of the session behind."""
        return self._behind.lines() if self._behind else iter(())

    def newest(self) -> Iterator[Line]:
        """Yield the lines of the session behind, newest first."""
        return self._behind.newest() if self._behind else iter(())

    def last(self) -> Line | None:
        """Return the last line of the session behind."""
        return self._behind.last() if self._behind else None

    def at(self, seq: int) -> Line | None:
        """Return the line of this number of the session behind."""
        return self._behind.at(seq) if self._behind else None

    def append(self, draft: Drafter) -> Line | None:
        """Return the line as it would have been stored, without a seq."""
        who = {"session_id": self.session_id, "user_id": self.user_id}
        with self._append:
            tip = self._tip()
            made = draft(tip)
            if made is None:
                return None
            line = seal(made, tip, **who, created_at=now())
            line["seq"] = None
            self._unstored.append(line)
        return line

    def _tip(self) -> Tip:
        """Return where the session behind stands, with what all that was not stored has used.

        The state is as it is there: a run has what those inside it changed in its own line.
        """
        tip = tip_after(self.last())
        for line in self._unstored:
            tip = Tip(tip.seq, tip.state, fold(tip, line).metrics)
        return tip

    def turn(self, run_id: str, waiting: Waiting) -> AbstractContextManager[object]:
        """Take no turn: nobody else sees this run."""
        return nullcontext()

    def begin(self, intent: RunLine) -> Flight:
        """Record nothing."""
        return _NoFlight()

    def job(self, intent: SessionLine) -> AbstractContextManager[Flight]:
        """Record nothing."""
        return nullcontext(_NoFlight())

    def attach(self, content: bytes) -> None:
        """Keep nothing."""

    def attached(self, sha256: str) -> bytes | None:
        """Return an attachment that the session behind can find."""
        return self._behind.attached(sha256) if self._behind else None

    def in_flight(self) -> list[InFlight]:
        """Return what is in flight in the session behind."""
        return self._behind.in_flight() if self._behind else []

    def recover(self) -> list[RunLine]:
        """Recover nothing."""
        return []


class _NoFlight:
    def note(self, note: dict[str, Any]) -> None: ...
    def sync(self) -> None: ...
    def landed(self) -> None: ...
    def stranded(self) -> None: ...
