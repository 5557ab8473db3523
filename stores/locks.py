"""Locks that end with their holder: the system frees them when a process dies.

A lock file is a sibling of what it guards, never the data itself, and is never deleted: two
processes that lock two files of the same name would both have the lock. Locking is filelock's;
opening is ours, since filelock empties the file.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from clew.core.clock import now
from clew.core.errors import BusyError
from clew.core.process import host_name, known_pid
from clew.core.store import Holder, Waiting

from . import native_lock
from .files import close, open_private, parse_small, storing, write_all

_EAGER_SECONDS = 0.2
_EAGER_POLL = 0.005
_PATIENT_POLL = (0.025, 0.05)
_SAY_AFTER = 1.0


def me(run_id: str | None) -> Holder:
    """Return this process as the holder of a lock."""
    return Holder(known_pid(), host_name(), run_id, now())


@contextmanager
def hold(path: str, what: str, waiting: Waiting, holder: Holder | None = None) -> Iterator[int]:
    """Hold the lock at `path`; raise BusyError, naming the holder, after the wait."""
    fd = _acquire(path, what, waiting)
    try:
        if holder is not None:
            _sign(fd, holder)
        yield fd
    finally:
        close(fd)


def _acquire(path: str, what: str, waiting: Waiting) -> int:
    started = time.monotonic()
    told = False
    while True:
        fd = _try(path)
        if fd is not None:
            return fd
        waited = time.monotonic() - started
        if waited >= waiting.seconds:
            raise BusyError(
                f"{what} is busy: {read_holder(path)} has it",
                hint="try again later; run and continue wait longer with --wait",
            )
        if waited >= _SAY_AFTER and not told:
            told = True
            waiting.tell(read_holder(path))
        pause = _EAGER_POLL if waited < _EAGER_SECONDS else _patient_pause()
        time.sleep(min(pause, waiting.seconds - waited))


def _patient_pause() -> float:
    """Return how long to wait where others may wait, too: not all of them come back at once."""
    from random import uniform  # it loads all of hashlib

    return uniform(*_PATIENT_POLL)


def _try(path: str) -> int | None:
    with storing("lock", path):
        fd = open_private(path, os.O_RDWR | os.O_CREAT)
        try:
            if native_lock.lock(fd) and is_still(fd, path):
                return fd
        except BaseException:
            close(fd)
            raise
        close(fd)
    return None


def is_still(fd: int, path: str) -> bool:
    """Tell whether `path` still names the file that `fd` has open."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _sign(fd: int, holder: Holder) -> None:
    """Write down who has the lock. It is only told to people, so a full disk does not matter.

    What stood there is written over: a file that is emptied first has to be on disk before it is
    closed, as ext4 sees it, and that takes longer than all the rest of an append.
    """
    data = json.dumps(holder._asdict()).encode()
    with suppress(OSError):
        write_all(fd, data)
        if os.fstat(fd).st_size > len(data):
            os.ftruncate(fd, len(data))


def read_holder(path: str) -> Holder:
    """Return who has the lock, as far as it is written down."""
    try:
        with open(path, "rb") as file:
            known = parse_small(file.read(4096))
        return Holder(known["pid"], known["host"], known["run_id"], known["since"])
    except (OSError, LookupError, TypeError):
        return Holder()
