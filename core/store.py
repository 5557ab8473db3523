"""Where sessions are kept: the promises that every store makes.

A `Store` holds the sessions of all users; a `SessionLog` is one session of one user. Both are
handles: making one touches nothing. No method ever shows, finds or changes another user's session.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from .lines import Line, RunLine, SessionLine
from .process import Process
from .session import Draft, Drafter


class Holder(NamedTuple):
    """Who has the turn of a session; every part is null where it could not be read."""

    pid: int | None = None
    host: str | None = None
    run_id: str | None = None
    since: str | None = None

    def __str__(self) -> str:
        who = f"process {self.pid} on {self.host}" if self.pid else "another process"
        run = f", run {self.run_id}" if self.run_id else ""
        return f"{who}{run}" + (f", since {self.since}" if self.since else "")


class Waiting(NamedTuple):
    """How long to wait for a busy session, and whom to tell.

    `seconds` is the limit; `tell` is called once, after a second of waiting, with the holder.
    """

    seconds: float = 600.0
    tell: Callable[[Holder], None] = lambda _holder: None


class Problem(NamedTuple):
    """Something in a session that is not a line, and was skipped."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: skipped: {self.reason}"


class Claim(NamedTuple):
    """A caller's run id: the session it belongs to, and whether nobody had claimed it before.

    `after` is the seq of the session's last line when it was claimed first: the run, if it has a
    line, stands after that one.
    """

    session_id: str
    fresh: bool
    after: int


class Flight(Protocol):
    """The record of a run under way, kept outside the lines until the run is stored."""

    def note(self, note: dict[str, Any]) -> None:
        """Write down one note (see `flight`); it survives the death of this process."""

    def sync(self) -> None:
        """Make the notes durable: what comes next must not be done twice."""

    def landed(self) -> None:
        """Forget the record: the run's line is stored."""

    def stranded(self) -> None:
        """Let go of the record but keep it: the run could not be stored, and will be recovered."""


class InFlight(NamedTuple):
    """A run without a line: under way, or found dead and not yet recovered.

    `line` is what would be stored for it now, with status INTERRUPTED and without a seq. `process`
    makes it, where that is one that can be stopped by a signal.
    """

    line: RunLine
    running: bool
    process: Process | None = None


class SessionLog(Protocol):
    """One session of one user: an append-only list of lines."""

    @property
    def session_id(self) -> str:
        """The session's id."""

    @property
    def user_id(self) -> str:
        """Whose session it is."""

    @property
    def location(self) -> str:
        """Where it is kept, for messages; of a file store, the file's path."""

    @property
    def problems(self) -> list[Problem]:
        """What this handle has skipped while reading."""

    def exists(self) -> bool:
        """Tell whether the session has a line, or a run in flight."""

    def lines(self) -> Iterator[Line]:
        """Yield the lines, oldest first.

        Readers wait for nobody and see only whole lines; what is no line is skipped and noted in
        `problems`.
        """

    def newest(self) -> Iterator[Line]:
        """Yield the lines, newest first, reading no more of the session than is consumed."""

    def last(self) -> Line | None:
        """Return the last line, None if there is none; raise DamagedError if it cannot be read."""

    def at(self, seq: int) -> Line | None:
        """Return the line of this number, None if there is none that can be read.

        However long the session is, not much more than that line is read.
        """

    def append(self, draft: Drafter) -> Line | None:
        """Write one line and return it as stored; durable on return.

        `draft` is called with the tip at which the line will stand, while nobody else can write.
        Raises DamagedError if the last line cannot be read or is of a later version, StoreError
        if the line could not be written; then the session is as before, unless only the disk did
        not confirm the line: then it is there. What `draft` raises passes.
        """

    def turn(self, run_id: str, waiting: Waiting) -> AbstractContextManager[object]:
        """Have the session's turn to oneself, for one run; raise BusyError after the wait."""

    def begin(self, intent: RunLine) -> Flight:
        """Record, durably, that a run begins; raise StoreError if it cannot be."""

    def job(self, intent: SessionLine) -> AbstractContextManager[Flight]:
        """Record, durably, that a model is asked about the session; forget it at the block's end.

        One job at a time: raises BusyError, at once, while there is another. Raises StoreError if
        it cannot be recorded. After an exception the record stays, to be recovered.
        """

    def attach(self, content: bytes) -> None:
        """Keep an attachment for its user, durably, once; raise StoreError if it cannot be."""

    def attached(self, sha256: str) -> bytes | None:
        """Return an attachment that its user has kept; None if it is gone, or was altered."""

    def in_flight(self) -> list[InFlight]:
        """Return the runs that have no line yet, oldest first. Writes nothing."""

    def recover(self) -> list[RunLine]:
        """Store dead runs in flight as INTERRUPTED, each exactly once, and return their lines.

        What dead jobs have used is stored too, as `session` lines without a result.
        """


class Store(Protocol):
    """The sessions of all users in one place."""

    @property
    def keeps(self) -> bool:
        """Whether the sessions outlive this process."""

    def session(self, session_id: str, user_id: str) -> SessionLog:
        """Return a handle of this user's session with this valid id, whether it exists or not."""

    def sessions(self, user_id: str) -> Iterator[SessionLog]:
        """Yield this user's sessions, most recently used first."""

    def under_way(self, user_id: str) -> Iterator[SessionLog]:
        """Yield this user's sessions that have a run in flight."""

    def with_prefix(self, prefix: str, user_id: str) -> list[str]:
        """Return this user's generated session ids that begin so."""

    def named(self, name: str, user_id: str) -> str | None:
        """Return the id of this user's session of that name, or None."""

    def name_of(self, session_id: str, user_id: str) -> str | None:
        """Return the name of this user's session, or None."""

    def rename(
        self,
        session_id: str,
        user_id: str,
        name: str,
        *,
        made: Draft | None = None,
        unless_named: bool = False,
    ) -> Line | None:
        """Name a session; raise ConflictError if another one of this user has that name.

        Returns the line: `made`, if it is given. None if the session has the name already, or,
        with `unless_named`, any.
        """

    def last_used(self, user_id: str) -> tuple[str, bool] | None:
        """Return the session that got a line last, and whether that was in this terminal.

        The last one of this terminal goes before the last one anywhere; None if there is no
        session.
        """

    def claim(
        self, run_id: str, session_id: str, user_id: str, waiting: Waiting
    ) -> AbstractContextManager[Claim]:
        """Have a caller's run id to oneself, and learn which session it belongs to.

        That is `session_id` for the first claim and the first one's for ever after. Raises
        BusyError after the wait for another process that has the id.
        """
