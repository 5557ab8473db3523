"""One session in one file of JSON lines."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import takewhile
from typing import cast

from clew.core.clock import now
from clew.core.errors import DamagedError
from clew.core.flight import draft_of, inside_first, with_all_inside
from clew.core.lines import Line, RunLine, SessionLine, decode, encode
from clew.core.session import Draft, Drafter, Tip, seal, tip_after
from clew.core.store import Flight, InFlight, Problem, Waiting

from . import inflight
from .append import Known, append_line, last_line
from .files import close, make_folder, open_to_read, storing
from .locks import hold, me
from .tail import backwards, forwards, line_number, sought, whole_lines

_ABOVE = 2
"""Folders between a user's and the store's own: they have to be safe, too."""


class SessionFile:
    """Keeps the promises of `SessionLog` with a file, two locks, and records of flights."""

    def __init__(
        self, folder: str, session_id: str, user_id: str, used: Callable[[str], None]
    ) -> None:
        self.session_id = session_id
        self.user_id = user_id
        self.location = os.path.join(folder, f"{session_id}.jsonl")
        self.problems: list[Problem] = []
        self._folder = folder
        self._stem = os.path.join(folder, session_id)
        self._used = used
        self._known: Known | None = None

    def exists(self) -> bool:
        """Tell whether the session has a line, or a run in flight."""
        with storing("read", self.location), suppress(FileNotFoundError):
            if os.stat(self.location, follow_symlinks=False).st_size:
                return True
        return inflight.any_record(self._flights)

    def lines(self) -> Iterator[Line]:
        """Yield the lines, oldest first."""
        with self._reading() as (fd, size):
            for number, raw in forwards(fd, size):
                line = self._decoded(raw, partial(int, number))
                if line is not None:
                    yield line

    def newest(self) -> Iterator[Line]:
        """Yield the lines, newest first, reading no more of the file than is consumed."""
        with self._reading() as (fd, size):
            for offset, raw in backwards(fd, size):
                line = self._decoded(raw, partial(line_number, fd, offset))
                if line is not None:
                    yield line

    def last(self) -> Line | None:
        """Return the last line; raise DamagedError if nothing can be built on it."""
        with self._reading() as (fd, size):
            return self._own(last_line(fd, size, self.location))

    def at(self, seq: int) -> Line | None:
        """Return the line of this number; among damaged lines it is looked for one by one."""
        with self._reading() as (fd, size), suppress(DamagedError):
            raw = sought(fd, size, seq, lambda raw: decode(raw)["seq"] or 0)
            return self._decoded(raw, partial(int, seq)) if raw is not None else None
        for line in self.newest():
            if (line["seq"] or 0) <= seq:
                return line if line["seq"] == seq else None
        return None

    def append(self, draft: Drafter) -> Line | None:
        """Write one line, durable on return, and return it."""
        stored: list[Line] = []

        def make(last: Line | None) -> bytes | None:
            tip = tip_after(self._own(last))
            made = draft(tip)
            if made is None:
                return None
            line = seal(
                made, tip, session_id=self.session_id, user_id=self.user_id, created_at=now()
            )
            stored[:] = [line]
            return encode(line)

        make_folder(self._folder, parents=_ABOVE)
        written = append_line(self.location, make, self.problems.append, self._known)
        if written is None:
            return None
        self._known = (written[:-1], _head(stored[0]))
        self._used(self.session_id)
        return stored[0]

    def turn(self, run_id: str, waiting: Waiting) -> AbstractContextManager[int]:
        """Have the session's turn to oneself."""
        make_folder(self._folder, parents=_ABOVE)
        lock = f"{self._stem}.turn.lock"
        return hold(lock, f"session {self.session_id}", waiting, me(run_id))

    def begin(self, intent: RunLine) -> Flight:
        """Record, durably, that a run begins."""
        make_folder(self._folder, parents=_ABOVE)
        return inflight.begin(self._flights, intent, tip_after(self.last()).seq)

    @contextmanager
    def job(self, intent: SessionLine) -> Iterator[Flight]:
        """Record that a model is asked about the session, one job at a time."""
        make_folder(self._folder, parents=_ABOVE)
        lock, what = f"{self._stem}.job.lock", f"the summary of session {self.session_id}"
        with hold(lock, what, Waiting(0), me(intent["by"])):
            flight = inflight.begin_job(self._flights, intent, tip_after(self.last()).seq)
            try:
                yield flight
            except BaseException:
                flight.stranded()
                raise
            flight.landed()

    def attach(self, content: bytes) -> None:
        """Keep an attachment beside the sessions of its user, durably."""
        from . import attached

        make_folder(self._folder, parents=_ABOVE)
        attached.keep(self._folder, content)

    def attached(self, sha256: str) -> bytes | None:
        """Return an attachment that its user has kept."""
        from . import attached

        return attached.read(self._folder, sha256)

    def in_flight(self) -> list[InFlight]:
        """Return the runs that have no line yet, oldest first."""
        flights = inflight.read_all(self._flights)
        return [
            flight for flight, after in flights if not self._stored(flight.line["run_id"], after)
        ]

    def recover(self) -> list[RunLine]:
        """Store the dead runs in flight as INTERRUPTED, each exactly once."""
        recovered: list[RunLine] = []
        paths = inflight.listed(self._flights)
        for path, fd in inflight.dead_records(self._in_order(paths)):
            with storing("recover", path):
                record = inflight.read_record(fd)
                if record is None:
                    self._move_aside(path, "not a record of a run; moved aside")
                    continue
                run, after = record
                whole = with_all_inside(run, self._runs_after(after)) if "members" in run else run
                line = self.append(partial(self._unless_stored, whole, after))
                recovered += [cast(RunLine, line)] if line is not None else []
                os.unlink(path)
        self._recover_jobs(paths)
        return recovered

    def _runs_after(self, seq: int) -> list[RunLine]:
        """Return the runs that were stored after this line, oldest first."""
        lines = takewhile(lambda line: (line["seq"] or 0) > seq, self.newest())
        return [line for line in lines if line["type"] == "run"][::-1]

    def _in_order(self, paths: list[str]) -> list[str]:
        """Return the records of dead runs, those inside another before it."""
        records: dict[str, str] = {}
        lines: list[RunLine] = []
        others: list[str] = []
        for path, fd in inflight.dead_records(paths):
            with storing("recover", path):
                record = inflight.read_record(fd)
            if record is None:
                others.append(path)
            else:
                lines.append(record[0])
                records[record[0]["run_id"]] = path
        lines.sort(key=lambda line: line["started_at"])
        return [*(records[line["run_id"]] for line in inside_first(lines)), *others]

    def _recover_jobs(self, paths: list[str]) -> None:
        for path, fd in inflight.dead_records(paths, inflight.JOB):
            with storing("recover", path):
                record = inflight.read_job(fd)
                if record is None:
                    self._move_aside(path, "not a record of a job; moved aside")
                    continue
                job, after = record
                if job is not None and self.exists():
                    self.append(partial(self._unless_stored, job, after))
                os.unlink(path)

    def _move_aside(self, path: str, reason: str) -> None:
        os.replace(path, path + ".damaged")
        self.problems.append(Problem(path, 1, reason))

    def _unless_stored(self, dead: RunLine | SessionLine, after: int, _tip: Tip) -> Draft | None:
        """Make the draft of a dead run or job that has no line.

        Asked once the end is healed: the last line may have lacked nothing but its newline.
        """
        return None if self._stored(_id(dead), after) else draft_of(dead)

    def _stored(self, its_id: str | None, after: int) -> bool:
        """Tell whether a line after line `after` is that of the run or job of this id."""
        for line in self.newest():
            if (line["seq"] or 0) <= after:
                return False
            if _id(line) == its_id:
                return True
        return False

    @property
    def _flights(self) -> str:
        return inflight.stem(self._folder, self.session_id)

    @contextmanager
    def _reading(self) -> Iterator[tuple[int, int]]:
        """Open the file as it is now; a file that is not there has no lines."""
        fd = open_to_read(self.location)
        if fd is None:
            yield -1, 0
            return
        try:
            with storing("read", self.location):
                yield fd, whole_lines(fd)
        finally:
            close(fd)

    def _decoded(self, raw: bytes, number: Callable[[], int]) -> Line | None:
        try:
            line = decode(raw)
            if not self._owns(line):
                raise DamagedError("a line of another session or user")
        except DamagedError as error:
            problem = Problem(self.location, number(), error.message)
            if problem not in self.problems:
                self.problems.append(problem)
            return None
        return line

    def _own(self, last: Line | None) -> Line | None:
        """Return the last line; raise DamagedError if it is not this session's."""
        if last is None or self._owns(last):
            return last
        raise DamagedError(
            f"{self.location}: the last line is of another session or user",
            hint="nothing is written after it; a session's file cannot be renamed or copied",
        )

    def _owns(self, line: Line) -> bool:
        return (line["session_id"], line["user_id"]) == (self.session_id, self.user_id)


def _id(line: Line) -> str | None:
    """Return the id of the run or job whose line this is."""
    if line["type"] == "run":
        return line["run_id"]
    return line.get("job_id") if line["type"] == "session" else None


def _head(line: Line) -> Line:
    """Return what the next line builds on; whoever has `line` may change it."""
    from copy import deepcopy

    head = {
        **{key: line[key] for key in ("v", "seq", "session_id", "user_id")},
        "session_state": deepcopy(line["session_state"]),
        "session_metrics": line["session_metrics"].copy(),
    }
    return cast(Line, head)
