"""Runs and jobs under way: a file each, locked as long as its process lives.

The files of one session begin with its `stem`: the user's folder for them, the session's id, and a
character that no id has. The first line holds the intent, the others are its notes (see
`core/flight`). Who can lock such a file knows that its owner is dead: no pid is ever guessed.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, cast

from clew.core.errors import DamagedError
from clew.core.flight import draft_of, interrupted_job, interrupted_line
from clew.core.ids import digest, is_session_id
from clew.core.lines import Line, RunLine, SessionLine, decode, encode, whole_characters
from clew.core.process import Process
from clew.core.session import Tip, seal
from clew.core.shapes import fitting
from clew.core.store import InFlight

from . import native_lock
from .files import (
    close,
    draft_path,
    make_folder,
    open_private,
    open_to_read,
    parse_small,
    storing,
    sync_folder,
    write_all,
)
from .locks import is_still

FOLDER = ".inflight"
_SUFFIX = ".part"
JOB = ".job"
"""How the names of records end that are not of runs."""
_AFTER_ID = "~"
_names_process = fitting({"pid": int, "host": str, "place": str})
_UNREADABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,  # a number without end
    RecursionError,
)
"""What a record of any shape makes the code raise that reads it."""


def stem(folder: str, session_id: str) -> str:
    """Return what the paths of a session's records begin with."""
    return os.path.join(folder, FOLDER, session_id + _AFTER_ID)


def sessions(folder: str) -> dict[str, int]:
    """Return the sessions with runs in flight in a folder, and when one was last written to."""
    found: dict[str, int] = {}
    for path in _paths(os.path.join(folder, "")):
        with suppress(FileNotFoundError):
            began = os.stat(path, follow_symlinks=False).st_mtime_ns
            session_id = os.path.basename(path).partition(_AFTER_ID)[0]
            if is_session_id(session_id):
                found[session_id] = max(began, found.get(session_id, 0))
    return found


class FlightFile:
    """The record of a run under way; its notes survive the process, not the machine."""

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd
        self._whole = True

    def note(self, note: dict[str, Any]) -> None:
        """Write one note; on a full disk the run, already paid for, goes on without notes."""
        if not self._whole:
            return
        try:
            write_all(self._fd, _encode(note))
        except OSError:
            self._whole = False

    def sync(self) -> None:
        """Make the notes durable, as far as the disk lets us."""
        with suppress(OSError):
            os.fsync(self._fd)

    def landed(self) -> None:
        """Delete the record."""
        with suppress(OSError):
            os.unlink(self._path)
        close(self._fd)

    def stranded(self) -> None:
        """Leave the record to whoever recovers it."""
        close(self._fd)


def begin(stem: str, intent: RunLine, after: int) -> FlightFile:
    """Make the record of a run that begins after line `after`, durable, or raise StoreError."""
    return _begin(stem + digest(intent["run_id"]) + _SUFFIX, intent, after)


def begin_job(stem: str, intent: SessionLine, after: int) -> FlightFile:
    """Make the record of a job in the same way."""
    return _begin(stem + digest(intent["job_id"]) + JOB, intent, after)


def _begin(path: str, intent: Line, after: int) -> FlightFile:
    folder = os.path.dirname(path)
    make_folder(folder)
    draft = draft_path(path)
    with storing("write", path):
        fd = open_private(draft, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        try:
            native_lock.lock(fd)
            write_all(fd, _encode({"intent": intent, "after": after}))
            os.fsync(fd)
            os.replace(draft, path)
            sync_folder(folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            close(fd)
            raise
    return FlightFile(path, fd)


def read_all(stem: str) -> list[tuple[InFlight, int]]:
    """Return the runs in flight and the seq that each began after, oldest first.

    Writes nothing, and needs no permission to write.
    """
    found: list[tuple[InFlight, int]] = []
    for path in _paths(stem):
        fd = open_to_read(path)
        if fd is None:
            continue
        try:
            with storing("read", path):
                notes = _notes(fd)
            if (record := _record(notes)) is not None:
                run, after = record
                found.append((InFlight(run, not _may_share(fd), _process(notes)), after))
        finally:
            close(fd)
    return sorted(found, key=lambda pair: pair[0].line["started_at"])


def any_record(stem: str) -> bool:
    """Tell whether there is a run in flight."""
    return next(_paths(stem), None) is not None


def listed(stem: str) -> list[str]:
    """Return the paths of the records of runs and of jobs that there are now."""
    return list(_paths(stem, (_SUFFIX, JOB)))


def dead_records(paths: Iterable[str], suffix: str = _SUFFIX) -> Iterator[tuple[str, int]]:
    """Yield path and descriptor of each of these records whose name ends so and whose owner is
    dead, locked for the caller."""
    for path in (path for path in paths if path.endswith(suffix)):
        with storing("recover", path):
            try:
                fd = open_private(path, os.O_RDWR)
            except FileNotFoundError:
                continue
        try:
            with storing("recover", path):
                mine = native_lock.lock(fd) and is_still(fd, path)
            if mine:
                yield path, fd
        finally:
            close(fd)


def read_record(fd: int) -> tuple[RunLine, int] | None:
    """Return a run's line if it died now, and the seq it began after; None if unreadable.

    Where a note is damaged, the answer's text is kept all the same.
    """
    return _record(_notes(fd))


def _record(notes: list[dict[str, Any]]) -> tuple[RunLine, int] | None:
    for known in (notes, notes[:1] + [note for note in notes if "text" in note]):
        with suppress(*_UNREADABLE, DamagedError):
            intent, after = cast(RunLine, known[0]["intent"]), int(known[0]["after"])
            run = interrupted_line(intent, known[1:])
            _try_to_store(run)
            return run, after
    return None


def _notes(fd: int) -> list[dict[str, Any]]:
    raw = os.pread(fd, os.fstat(fd).st_size, 0)
    return [note for note in map(_decode, raw.split(b"\n")[:-1]) if note is not None]


def _process(notes: list[dict[str, Any]]) -> Process | None:
    """Return who makes the run, as far as that was written down."""
    said = next((note["process"] for note in notes if "process" in note), None)
    return cast(Process, said) if _names_process(said) else None


def read_job(fd: int) -> tuple[SessionLine | None, int] | None:
    """Return a job's line if it died now, if it used anything, and the seq it began after.

    None if the record is unreadable.
    """
    notes = _notes(fd)
    with suppress(*_UNREADABLE, DamagedError):
        job = interrupted_job(cast(SessionLine, notes[0]["intent"]), notes[1:])
        if job is not None:
            _try_to_store(job)
        return job, int(notes[0]["after"])
    return None


def _try_to_store(line: Line) -> None:
    """Raise what storing this line would raise."""
    who = {"session_id": line["session_id"], "user_id": line["user_id"]}
    decode(encode(seal(draft_of(line), Tip(), created_at=line["created_at"], **who)))


def _paths(stem: str, suffix: str | tuple[str, ...] = _SUFFIX) -> Iterator[str]:
    folder, session = os.path.split(stem)
    names: list[str] = []
    with storing("read", folder), suppress(FileNotFoundError, NotADirectoryError):
        names = sorted(os.listdir(folder))
    for name in names:
        if name.startswith(session) and name.endswith(suffix):
            yield os.path.join(folder, name)


def _may_share(fd: int) -> bool:
    """Tell whether nobody has the file locked; a reader takes only a moment's shared lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _encode(note: dict[str, Any]) -> bytes:
    return (
        json.dumps(note, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    )


def _decode(raw: bytes) -> dict[str, Any] | None:
    note = whole_characters(parse_small(raw), raw)
    return note if isinstance(note, dict) else None
