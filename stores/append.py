"""Adding one line to a session file: whole, durable, or not at all."""

import os
from collections.abc import Callable
from contextlib import suppress

from clew.core.errors import DamagedError, StoreError
from clew.core.lines import VERSION, Line, decode
from clew.core.store import Problem, Waiting

from .files import close, open_private, storing, sync_folder, write_all
from .locks import hold, is_still, me
from .tail import backwards, end_of_lines, line_number, read_at

_LOCK_SECONDS = 60.0
Known = tuple[bytes, Line]
"""The bytes of a line, without its newline, and what is to be built on of it."""


def append_lock(path: str) -> str:
    """Return the lock that whoever changes the session file at `path` holds."""
    return f"{path.removesuffix('.jsonl')}.append.lock"


def append_line(
    path: str,
    make: Callable[[Line | None], bytes | None],
    note: Callable[[Problem], None],
    known: Known | None = None,
) -> bytes | None:
    """Append what `make` returns for the last line; return it once it is on disk.

    A torn tail is healed first, and noted; a file is made only for a line. Raises DamagedError if
    the last line cannot be built on, StoreError if the new one could not be written; the file then
    is as it was, unless only the disk did not confirm the line: then it is there.
    """
    lock = append_lock(path)
    while True:
        with hold(lock, path, Waiting(_LOCK_SECONDS), me(None)) as held, storing("write", path):
            fd = _open(path)
            try:
                size = 0 if fd is None else heal(fd, path, note)
                data = make(None if fd is None else last_line(fd, size, path, known))
                if data is None:
                    return None
                if fd is None:
                    fd = _create(path)
                if fd is None or not (is_still(held, lock) and is_still(fd, path)):
                    continue
                if size == 0:
                    sync_folder(os.path.dirname(path))
                _write(fd, size, data, path)
                return data
            finally:
                if fd is not None:
                    close(fd)


def _open(path: str) -> int | None:
    """Open a session file, None if there is none."""
    with suppress(FileNotFoundError):
        return open_private(path, os.O_RDWR | os.O_APPEND)
    return None


def _create(path: str) -> int | None:
    """Make a session file, now that there is a line for it; None if there is one all the same."""
    with suppress(FileExistsError):
        return open_private(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL)
    return None


def last_line(fd: int, size: int, path: str, known: Known | None = None) -> Line | None:
    """Return the last line of the first `size` bytes, None if there is none.

    One that is `known` is not read again. Raises DamagedError if it cannot be read, or was written
    by a later clew.
    """
    for offset, raw in backwards(fd, size):
        if known is not None and raw == known[0]:
            return known[1]
        try:
            line = decode(raw)
        except DamagedError as error:
            number = line_number(fd, offset)
            raise DamagedError(
                f"{path}:{number}: the last line cannot be read: {error.message}",
                hint="nothing is written after it; `clew sessions repair` moves it aside",
            ) from None
        if line["v"] > VERSION:
            raise written_later(path, line)
        return line
    return None


def written_later(path: str, line: Line) -> DamagedError:
    """Return the error for a file with a line of a later version: it is read, never written."""
    return DamagedError(
        f"{path} was written by a later clew (format {line['v']})",
        hint="update clew to go on with this session",
    )


def _write(fd: int, size: int, data: bytes, path: str) -> None:
    try:
        write_all(fd, data)
    except BaseException:
        os.ftruncate(fd, size)
        raise
    try:
        os.fsync(fd)
    except OSError as error:
        raise StoreError(
            f"{path}: the line is written, but the disk did not confirm it: {error.strerror}",
            hint="check the disk; `clew history` shows what is there",
        ) from error


def heal(fd: int, path: str, note: Callable[[Problem], None]) -> int:
    """Make the file end with a newline, and return its size.

    A whole line that only lacks its newline gets it; anything else after the last newline was
    torn by a crash, and is moved to a file of its own.
    """
    size = os.fstat(fd).st_size
    if size == 0 or read_at(fd, size - 1, 1) == b"\n":
        return size
    good = end_of_lines(fd, size)
    torn = read_at(fd, good, size - good)
    if _is_line(torn):
        _write(fd, size, b"\n", path)
        return size + 1
    aside = keep_aside(path, torn)
    os.ftruncate(fd, good)
    os.fsync(fd)
    reason = f"a torn end of {len(torn)} bytes, moved to {aside}"
    note(Problem(path, line_number(fd, good), reason))
    return good


def _is_line(raw: bytes) -> bool:
    try:
        decode(raw)
    except DamagedError:
        return False
    return True


def keep_aside(path: str, data: bytes) -> str:
    """Put bytes that are no line into the file for such beside a session's; return its path."""
    aside = f"{path.removesuffix('.jsonl')}.torn"
    fd = open_private(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        write_all(fd, data + b"\n")
        os.fsync(fd)
    finally:
        close(fd)
    sync_folder(os.path.dirname(aside))
    return aside
