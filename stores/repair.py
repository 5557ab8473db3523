"""Mending a damaged session file: what is no line of the session is moved aside, nothing is lost.

Every good line stays as it is, byte for byte. The file as it was is kept, and a line at the end
tells what was moved, and where lines are missing.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from clew.core.clock import now
from clew.core.errors import DamagedError
from clew.core.lines import VERSION, Line, decode, encode
from clew.core.session import repair_draft, seal, tip_after
from clew.core.store import Problem, Waiting

from .append import append_lock, heal, keep_aside, written_later
from .files import close, open_private, replace_file, storing
from .locks import hold, me
from .session_file import SessionFile
from .tail import forwards, read_at
from .verify import Gap, known_gaps

_LOCK_SECONDS = 60.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Repair:
    """What was done to a session's file; `original` is the file as it was, None if it is whole."""

    moved: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()
    original: str | None = None


@dataclass
class _Found:
    """A session file, taken apart: ranges of good lines, and what stands between them."""

    good: list[tuple[int, int]] = field(default_factory=list)
    bad: list[tuple[int, int, Problem]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    last: Line | None = None


def repair(log: SessionFile) -> Repair:
    """Move what is no line of this session out of its file.

    Raises DamagedError if no line would be left, or if a later clew wrote one; StoreError if the
    file cannot be written.
    """
    path = log.location
    healed: list[Problem] = []
    with hold(append_lock(path), path, Waiting(_LOCK_SECONDS), me(None)), storing("repair", path):
        try:
            fd = open_private(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return Repair()
        try:
            size = heal(fd, path, healed.append)
            found = _inspect(fd, size, log)
            if not found.bad and not found.gaps:
                return Repair(tuple(healed))
            original = _put_in_place(fd, size, found, log)
        finally:
            close(fd)
    moved = [problem for *_, problem in found.bad]
    return Repair((*moved, *healed), tuple(found.gaps), original)


def _inspect(fd: int, size: int, log: SessionFile) -> _Found:
    found = _Found()
    known = known_gaps(fd, size)
    position = 0
    for number, raw in forwards(fd, size):
        start, position = position, position + len(raw) + 1
        try:
            line = decode(raw)
            if (line["session_id"], line["user_id"]) != (log.session_id, log.user_id):
                raise DamagedError("a line of another session or user")
        except DamagedError as error:
            found.bad.append((start, position, Problem(log.location, number, error.message)))
            continue
        if line["v"] > VERSION:
            raise written_later(log.location, line)
        gap = (tip_after(found.last).seq, line["seq"] or 0)
        if gap[1] > gap[0] + 1 and gap not in known:
            found.gaps.append(gap)
        found.good.append((start, position))
        found.last = line
    if found.last is None and found.bad:
        raise DamagedError(
            f"{log.location} has no line of this session, so there is nothing to repair",
            hint="if the file was renamed or copied, give it its old name",
        )
    return found


def _put_in_place(fd: int, size: int, found: _Found, log: SessionFile) -> str:
    """Keep the file as it is under another name, which is returned, and put the good lines in its
    place: a crash at any moment leaves the one or the other."""
    path = log.location
    original = f"{path.removesuffix('.jsonl')}.{now().replace(':', '')}.original"
    replace_file(original, _bytes(fd, [(0, size)]), durable=True)
    for start, end, _ in found.bad:
        keep_aside(path, read_at(fd, start, end - start - 1))
    replace_file(path, _mended(fd, found, log), durable=True)
    return original


def _mended(fd: int, found: _Found, log: SessionFile) -> Iterator[bytes]:
    """Yield the good lines as they are, and one that tells of the repair."""
    yield from _bytes(fd, found.good)
    told = repair_draft({"moved": len(found.bad), "gaps": [list(gap) for gap in found.gaps]})
    yield encode(
        seal(
            told,
            tip_after(found.last),
            session_id=log.session_id,
            user_id=log.user_id,
            created_at=now(),
        )
    )


def _bytes(fd: int, ranges: list[tuple[int, int]]) -> Iterator[bytes]:
    for start, end in ranges:
        for position in range(start, end, _CHUNK):
            yield read_at(fd, position, min(_CHUNK, end - position))
