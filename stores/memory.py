"""Sessions in this process only: the reference for what a store does."""

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, cast

from clew.core.clock import now
from clew.core.errors import BusyError, ConflictError
from clew.core.flight import (
    draft_of,
    inside_first,
    interrupted_job,
    interrupted_line,
    with_all_inside,
)
from clew.core.ids import is_generated
from clew.core.lines import Line, RunLine, SessionLine
from clew.core.session import Draft, Drafter, always, name_draft, seal, tip_after
from clew.core.store import Claim, Flight, Holder, InFlight, Problem, SessionLog, Waiting
from clew.core.text import one_spelling

_SAY_AFTER = 1.0


class MemoryStore:
    """Keeps the promises of `Store` in dictionaries, except that nothing outlives the process."""

    keeps = False

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], MemoryLog] = {}
        self._used: dict[str, list[str]] = {}
        self._claims: dict[tuple[str, str], tuple[_Lock, Claim]] = {}
        self._attachments: dict[str, dict[str, bytes]] = {}
        self._lock = threading.RLock()

    def session(self, session_id: str, user_id: str) -> "MemoryLog":
        """Return a handle of this user's session."""
        with self._lock:
            key = (user_id, session_id)
            if key not in self._sessions:
                attachments = self._attachments.setdefault(user_id, {})
                self._sessions[key] = MemoryLog(session_id, user_id, self._mark, attachments)
            return self._sessions[key]

    def sessions(self, user_id: str) -> Iterator[SessionLog]:
        """Yield this user's sessions, most recently used first."""
        for session_id in self._used.get(user_id, [])[::-1]:
            yield self.session(session_id, user_id)

    def under_way(self, user_id: str) -> Iterator[SessionLog]:
        """Yield this user's sessions that have a run in flight."""
        with self._lock:
            logs = [log for (user, _), log in self._sessions.items() if user == user_id]
        yield from (log for log in logs if log.in_flight())

    def with_prefix(self, prefix: str, user_id: str) -> list[str]:
        """Return this user's generated session ids that begin so."""
        used = self._used.get(user_id, [])
        return sorted(one for one in used if one.startswith(prefix) and is_generated(one))

    def named(self, name: str, user_id: str) -> str | None:
        """Return the id of this user's session of that name."""
        name = one_spelling(name)
        used = self._used.get(user_id, [])
        return next((one for one in used if self.name_of(one, user_id) == name), None)

    def name_of(self, session_id: str, user_id: str) -> str | None:
        """Return the name of this user's session."""
        for line in self.session(session_id, user_id).newest():
            if line["type"] == "session" and line.get("name"):
                return line["name"]
        return None

    def rename(
        self,
        session_id: str,
        user_id: str,
        name: str,
        *,
        made: Draft | None = None,
        unless_named: bool = False,
    ) -> Line | None:
        """Name a session; raise ConflictError if another one of this user has that name."""
        name = one_spelling(name)
        with self._lock:
            if unless_named and self.name_of(session_id, user_id) is not None:
                return None
            owner = self.named(name, user_id)
            if owner == session_id:
                return None
            if owner is not None:
                raise ConflictError(f"the name {name!r} is taken by session {owner}")
            draft = always(made) if made is not None else name_draft(name)
            return self.session(session_id, user_id).append(draft)

    def last_used(self, user_id: str) -> tuple[str, bool] | None:
        """Return the session that got a line last; a process is in one terminal."""
        used = self._used.get(user_id, [])
        return (used[-1], True) if used else None

    @contextmanager
    def claim(
        self, run_id: str, session_id: str, user_id: str, waiting: Waiting
    ) -> Iterator[Claim]:
        """Have a caller's run id to oneself, and learn which session it belongs to."""
        with self._lock:
            fresh = (user_id, run_id) not in self._claims
            after = tip_after(self.session(session_id, user_id).last()).seq if fresh else 0
            lock, claim = self._claims.setdefault(
                (user_id, run_id), (_Lock(), Claim(session_id, False, after))
            )
        with lock.held(f"run {run_id}", run_id, waiting):
            yield claim._replace(fresh=fresh)

    def _mark(self, session_id: str, user_id: str) -> None:
        with self._lock:
            used = self._used.setdefault(user_id, [])
            if session_id in used:
                used.remove(session_id)
            used.append(session_id)


class MemoryLog:
    """Keeps the promises of `SessionLog` in a list."""

    location = "memory"

    def __init__(
        self, session_id: str, user_id: str, used: Any, attachments: dict[str, bytes]
    ) -> None:
        self.session_id = session_id
        self.user_id = user_id
        self.problems: list[Problem] = []
        self._lines: list[Line] = []
        self._flights: list[_MemoryFlight] = []
        self._dead_jobs: list[SessionLine] = []
        self._turn = _Lock()
        self._job = _Lock()
        self._append = threading.RLock()
        self._used = used
        self._attachments = attachments

    def exists(self) -> bool:
        """Tell whether the session has a line, or a run in flight."""
        return bool(self._lines or self._flights)

    def lines(self) -> Iterator[Line]:
        """Yield the lines, oldest first."""
        yield from copy.deepcopy(self._lines)

    def newest(self) -> Iterator[Line]:
        """Yield the lines, newest first."""
        for line in reversed(self._lines[:]):
            yield copy.deepcopy(line)

    def last(self) -> Line | None:
        """Return the last line."""
        return copy.deepcopy(self._lines[-1]) if self._lines else None

    def at(self, seq: int) -> Line | None:
        """Return the line of this number."""
        return copy.deepcopy(self._lines[seq - 1]) if 0 < seq <= len(self._lines) else None

    def append(self, draft: Drafter) -> Line | None:
        """Keep one line and return it."""
        with self._append:
            tip = tip_after(self.last())
            made = draft(tip)
            if made is None:
                return None
            who = {"session_id": self.session_id, "user_id": self.user_id}
            line = seal(made, tip, created_at=now(), **who)
            self._lines.append(copy.deepcopy(line))
        self._used(self.session_id, self.user_id)
        return line

    @contextmanager
    def turn(self, run_id: str, waiting: Waiting) -> Iterator[None]:
        """Have the session's turn to oneself."""
        with self._turn.held(f"session {self.session_id}", run_id, waiting):
            yield

    def begin(self, intent: RunLine) -> Flight:
        """Keep a record of a run that begins."""
        flight = _MemoryFlight(intent, self._flights)
        self._flights.append(flight)
        return flight

    @contextmanager
    def job(self, intent: SessionLine) -> Iterator[Flight]:
        """Keep a record while a model is asked about the session, one job at a time."""
        what = f"the summary of session {self.session_id}"
        with self._job.held(what, intent["by"] or "", Waiting(0)):
            flight = _MemoryJob()
            try:
                yield flight
            except BaseException:
                died = interrupted_job(intent, flight.notes)
                stored = any(line.get("job_id") == intent["job_id"] for line in self._lines[:])
                self._dead_jobs += [died] if died is not None and not stored else []
                raise

    def attach(self, content: bytes) -> None:
        """Keep an attachment."""
        self._attachments[sha256(content).hexdigest()] = content

    def attached(self, sha256: str) -> bytes | None:
        """Return an attachment that its user has kept."""
        return self._attachments.get(sha256)

    def in_flight(self) -> list[InFlight]:
        """Return the runs that have no line yet, oldest first."""
        flights = [InFlight(flight.line(), flight.running) for flight in self._flights[:]]
        missing = [flight for flight in flights if not self._stored(flight.line)]
        return sorted(missing, key=lambda flight: flight.line["started_at"])

    def recover(self) -> list[RunLine]:
        """Store the dead runs in flight as INTERRUPTED."""
        recovered: list[RunLine] = []
        with self._append:
            dead = [flight for flight in self._flights if not flight.running]
            for run in inside_first([flight.line() for flight in dead]):
                if not self._stored(run):
                    stored = [line for line in self._lines if line["type"] == "run"]
                    whole = with_all_inside(run, stored)
                    recovered.append(cast(RunLine, self.append(always(draft_of(whole)))))
            for flight in dead:
                self._flights.remove(flight)
            while self._dead_jobs:
                self.append(always(draft_of(self._dead_jobs.pop(0))))
        return recovered

    def _stored(self, run: RunLine) -> bool:
        stored = (line["run_id"] for line in self._lines[:] if line["type"] == "run")
        return run["run_id"] in stored


class _MemoryFlight:
    def __init__(self, intent: RunLine, flights: "list[_MemoryFlight]") -> None:
        self._intent = intent
        self._notes: list[dict[str, Any]] = []
        self._flights = flights
        self.running = True

    def note(self, note: dict[str, Any]) -> None:
        self._notes.append(note)

    def sync(self) -> None:
        pass

    def landed(self) -> None:
        self._flights.remove(self)

    def stranded(self) -> None:
        self.running = False

    def line(self) -> RunLine:
        return interrupted_line(self._intent, self._notes)


class _MemoryJob:
    """The notes of a job; its end is the end of the block that it belongs to."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []

    def note(self, note: dict[str, Any]) -> None:
        self.notes.append(note)

    def sync(self) -> None: ...
    def landed(self) -> None: ...
    def stranded(self) -> None: ...


class _Lock:
    """A lock that tells who has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = Holder()

    @contextmanager
    def held(self, what: str, run_id: str, waiting: Waiting) -> Iterator[None]:
        if not self._acquire(waiting):
            raise BusyError(f"{what} is busy: {self._holder} has it", hint="try again later")
        self._holder = Holder(None, None, run_id, now())
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self, waiting: Waiting) -> bool:
        started = time.monotonic()
        if self._lock.acquire(timeout=min(_SAY_AFTER, waiting.seconds)):
            return True
        if waiting.seconds <= _SAY_AFTER:
            return False
        waiting.tell(self._holder)
        left = waiting.seconds - (time.monotonic() - started)
        return self._lock.acquire(timeout=min(max(left, 0.0), threading.TIMEOUT_MAX))
