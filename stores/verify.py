"""Finding damage in a session file.

The state and the totals that each line carries are counted again from the first line on: a line
that says otherwise is damaged, or was not written by clew.
"""

import os
from collections.abc import Iterator

from clew.core.errors import DamagedError
from clew.core.lines import VERSION, Line, RunLine, decode, has_half_characters
from clew.core.media import attached_to
from clew.core.session import Tip, fold, tip_after
from clew.core.state import same
from clew.core.step_tree import left_by
from clew.core.store import Problem

from .attached import FOLDER, harm
from .files import close, open_to_read
from .session_file import SessionFile
from .tail import forwards, whole_lines

Gap = tuple[int, int]
"""The seq before and after lines that are missing."""


def verify(log: SessionFile) -> Iterator[Problem]:
    """Yield everything that is wrong with a session's file, in its order."""
    fd = open_to_read(log.location)
    if fd is None:
        return
    try:
        size = whole_lines(fd)
        checker = _Checker(log, known_gaps(fd, size))
        for number, raw in forwards(fd, size):
            for reason in checker.reasons(raw):
                yield Problem(log.location, number, reason)
        torn = os.fstat(fd).st_size - size
        if torn and whole_lines(fd) == size:
            reason = f"a torn end of {torn} bytes: the next write moves it aside"
            yield Problem(log.location, checker.count + 1, reason)
    finally:
        close(fd)


def known_gaps(fd: int, size: int) -> set[Gap]:
    """Return the gaps that repairs have put on record."""
    known: set[Gap] = set()
    for _, raw in forwards(fd, size):
        if b'"repaired"' not in raw:
            continue
        try:
            line = decode(raw)
            if line["type"] == "session":
                known.update((before, after) for before, after in line["repaired"]["gaps"])
        except (DamagedError, LookupError, TypeError, ValueError):
            continue
    return known


class _Checker:
    """Follows a session from its first line."""

    def __init__(self, log: SessionFile, gaps: set[Gap]) -> None:
        self._owner = (log.session_id, log.user_id)
        self._gaps = gaps
        self._tip: Tip | None = Tip()
        self._runs: set[str] = set()
        self._folder = os.path.dirname(log.location)
        self._attached: dict[str, str | None] = {}
        self.count = 0

    def reasons(self, raw: bytes) -> Iterator[str]:
        """Yield what is wrong with the next line."""
        self.count += 1
        try:
            line = decode(raw)
        except DamagedError as error:
            self._tip = None
            yield error.message
            return
        if line["v"] > VERSION:
            yield f"written by a later clew (format {line['v']}), so it was not checked"
        elif (line["session_id"], line["user_id"]) != self._owner:
            self._tip = None
            yield f"a line of session {line['session_id']!r} of user {line['user_id']!r}"
            return
        else:
            if has_half_characters(raw):
                yield "half a character (a lone surrogate) in its text"
            yield from self._wrong_with(line)
        self._tip = tip_after(line)

    def _wrong_with(self, line: Line) -> Iterator[str]:
        from clew.core.schemas import check_line

        try:
            check_line(line)
        except ValueError as error:
            yield f"not as the format says: {_first(error)}"
            return
        if line["type"] == "run":
            if line["run_id"] in self._runs:
                yield f"run {line['run_id']!r} is there twice"
            self._runs.add(line["run_id"])
            yield from self._wrong_with_attachments(line)
        if self._tip is not None and (self._tip.seq, line["seq"]) not in self._gaps:
            yield from _differences(fold(self._tip, line), line)

    def _wrong_with_attachments(self, run: RunLine) -> Iterator[str]:
        """Yield what is not kept any more of what a run was sent with, or its steps left behind;
        each file is read once."""
        named = {key: record["name"] for key, record in attached_to(run["messages"]).items()}
        for key, name in (named | dict(left_by(run["steps"]))).items():
            if key not in self._attached:
                self._attached[key] = harm(self._folder, key)
            if (wrong := self._attached[key]) is not None:
                yield f"its attachment {name!r} ({FOLDER}/{key}) {wrong}"


def _differences(counted: Tip, line: Line) -> Iterator[str]:
    if line["seq"] != counted.seq:
        yield f"its seq is {line['seq']}, not {counted.seq}"
    if not same(line["session_state"], counted.state):
        yield "its session_state is not what its changes make of the state before it"
    if not same(line["session_metrics"], counted.metrics):
        yield "its session_metrics are not the totals before it and its own"


def _first(error: ValueError) -> str:
    """Return pydantic's first complaint in one line."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"])
    return ": ".join(filter(None, (where, found["msg"])))
