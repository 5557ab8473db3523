"""Leaving a warm process behind, which makes the calls that come."""

import fcntl
import os
import subprocess
import sys

from .warm_place import socket_path

IDLE_SECONDS = 600.0
_PROGRAM = """\
import sys
sys.flags.safe_path or sys.path.pop(0)
from clew.cli.warm_server import main
main()
"""


def start(idle: float = IDLE_SECONDS) -> bool:
    """Start one, if there is none; tell whether it was started. It takes seconds to be there."""
    path = socket_path(make=True) if sys.platform == "linux" else None
    if path is None:
        return False
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(f"{path}.lock", flags, 0o600)
    except OSError:
        return False
    try:
        # It goes to the new process, held: of two that are started at once, one is.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _spawn(lock, idle)
    except (OSError, ValueError):
        return False
    finally:
        os.close(lock)
    return True


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
