"""Leaving a warm process behind, which makes the calls that come."""

import fcntl
import os
import subprocess
import sys
import time

from .warm_place import socket_path

IDLE_SECONDS = 600.0
_PROGRAM = """\
import sys
sys.flags.safe_path or sys.path.pop(0)
from clew.cli.warm_server import main
main()
"""


def start(idle: float = IDLE_SECONDS, *, again: bool = False) -> bool:
    """Start one, if there is none; tell whether it was started. It takes seconds to be there.

    Where one has failed lately there will be none soon, unless it is to be tried `again`.
    """
    path = socket_path(make=True) if sys.platform == "linux" else None
    lock = None if path is None else _locked(path)
    if lock is None:
        return False
    try:
        if not again and _has_failed(lock):
            return False
        os.truncate(lock, 0)
        os.write(lock, b"it is not there yet\n")  # it takes this away when it is
        _spawn(lock, idle)
    except (OSError, ValueError):
        return False
    finally:
        os.close(lock)
    return True


def is_coming(path: str) -> bool:
    """Tell whether there is a process that listens here, or will."""
    lock = _locked(path)
    if lock is not None:
        os.close(lock)
    return lock is None


def _locked(path: str) -> int | None:
    """Return the lock of those that listen here, locked; None if it is somebody else's.

    It goes to the new process, as it is: of two that are started at once, one is.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_APPEND
    try:
        lock = os.open(f"{path}.lock", flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _has_failed(lock: int) -> bool:
    found = os.fstat(lock)
    return found.st_size > 0 and abs(time.time() - found.st_mtime) < IDLE_SECONDS


def _spawn(lock: int, idle: float) -> None:
    quiet = subprocess.DEVNULL
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    subprocess.Popen(
        [sys.executable, *options, "-c", _PROGRAM, str(lock), str(idle)],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        cwd="/",
        env=_environment(),
        pass_fds=(lock,),
        start_new_session=True,
    )


def _environment() -> dict[bytes, bytes]:
    """Return the environment that this process was started with: libraries change it."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (pair.partition(b"=") for pair in file.read().split(b"\0") if pair)
        return {name: value for name, _, value in pairs if name}
