"""One call, in a process of its own that was copied from one that has everything loaded.

It makes sure that it would do what the caller would do itself; it then becomes like it, and runs.
"""

import fcntl
import io
import marshal
import os
import select
import signal
import stat
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from clew.core import run_environment
from clew.core.process import act_for
from clew.core.resident import RESIDENTS

from .caller import CALLER, facts
from .warm_likeness import Variables, code, manners, place, same_variables
from .warm_link import BEGIN, COLD, DIED, ENDED, GO, STATUS, hear_request, peer, say
from .warm_place import installation, interpreter

if TYPE_CHECKING:
    import _socket

_PATIENCE_SECONDS = 10.0
_FDS = 5


class End(IntEnum):
    """What the child of a warm process ends with: what came of the caller's wish."""

    SERVED = 0
    ANSWERED = 1
    """A question, not a call."""
    ODD = 2
    LEFT = 3
    INSTALLATION = 4
    PLACE = 5
    VARIABLES = 6
    BACKGROUND = 7
    SETTINGS = 8
    OUTDATED = 9


WHY = {
    End.ODD: "it was no call",
    End.LEFT: "the caller left",
    End.INSTALLATION: "another Python, or other options of it",
    End.PLACE: "other rights, limits or namespaces",
    End.VARIABLES: "another variable that is read while libraries are loaded",
    End.BACKGROUND: "in the background of a terminal",
    End.SETTINGS: "its settings are against it",
    End.OUTDATED: "clew or its libraries have changed",
}
"""Why a call was not made."""
FOR_ANOTHER = (End.INSTALLATION, End.PLACE, End.VARIABLES)
"""Whose calls another warm process could have made."""


@dataclass(frozen=True)
class Made:
    """What a warm process is made of: whose calls it can make follows from it."""

    environment: dict[bytes, bytes]
    path: list[str]
    personality: bytes
    code: list[tuple[str, int, int]]
    read: Variables
    """The variables that were looked up on the way."""
    changed: dict[bytes, bytes | None]
    """What that has done to the environment."""


class Unlike(Exception):
    """The caller would do otherwise."""

    def __init__(self, why: End) -> None:
        self.why = why


def attend(socket: "_socket.socket", made: Made, status: dict[str, Any]) -> End:
    """Answer a caller: make its call, if that is for us. Return what this process ends with."""
    fds: list[int] = []
    try:
        socket.settimeout(_PATIENCE_SECONDS)
        pid, uid = peer(socket)
        if uid != os.geteuid():
            return End.ODD  # and what it says is not looked at
        request, fds = hear_request(socket, _FDS)
        if request[0] == STATUS:
            socket.sendall(marshal.dumps(status))
            return End.ANSWERED
        if not _is_agreed(socket, pid, request, fds, made):
            return End.LEFT
    except Unlike as unlike:
        with suppress(OSError):
            _let_go(fds[-1])
            say(socket, COLD)
        return unlike.why
    except (OSError, ValueError, TypeError, LookupError, EOFError):
        return End.ODD  # the caller sees the end of it, and makes its call itself
    _run(socket)
    return End.SERVED


def _is_agreed(
    socket: "_socket.socket", pid: int, request: Any, fds: list[int], made: Made
) -> bool:
    """Become what the caller is; tell whether it wants the call to begin."""
    _check(pid, request, made)
    _become(pid, request, fds, made)
    say(socket, GO, os.getpid())
    return socket.recv(1) == BEGIN


def _check(pid: int, request: Any, made: Made) -> None:
    """Raise Unlike if the caller would do otherwise."""
    _, installed, flags, personality, _, path, environment = request
    python = (installed, flags, path[not sys.flags.safe_path :])
    if python != (installation(), interpreter(), made.path):
        raise Unlike(End.INSTALLATION)
    if personality != made.personality or place(pid) != place(os.getpid()):
        raise Unlike(End.PLACE)
    if not same_variables(made.environment, environment, made.read):
        raise Unlike(End.VARIABLES)
    if code(made.path) != made.code:
        raise Unlike(End.OUTDATED)


def _become(pid: int, request: Any, fds: list[int], made: Made) -> None:
    """Be what the caller is. Raises Unlike if it does not want us."""
    _, _, _, _, argv, path, environment = request
    *stdio, here, lifeline = fds
    _end_with(lifeline)
    like = manners(pid)
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
        os.close(fd)
    os.fchdir(here)
    os.close(here)
    os.umask(like.umask)
    os.environb.clear()
    os.environb.update(environment)
    time.tzset()
    run_environment.forget()
    tempfile.tempdir = None
    sys.argv, sys.path[:] = argv, path
    CALLER.pid = pid
    act_for(pid)
    if _is_in_background(pid):
        raise Unlike(End.BACKGROUND)
    if not _is_wanted(argv):
        raise Unlike(End.SETTINGS)
    for name, value in made.changed.items():
        run_environment.set_for_clew(os.fsdecode(name), os.fsdecode(value or b""))
    _have_streams()
    _heed_signals(like.ignored)


def _end_with(lifeline: int) -> None:
    """Have the system kill this process when the caller, who holds the other end, is gone."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
    gone = select.poll()
    gone.register(lifeline, 0)
    if gone.poll(0):
        raise OSError("the caller is gone")


def _let_go(lifeline: int) -> None:
    """Live on when the caller has gone."""
    fcntl.fcntl(lifeline, fcntl.F_SETFL, 0)


def _is_in_background(pid: int) -> bool:
    """Tell whether the caller would be stopped for using its terminal."""
    group, _, terminal, front = facts(pid)
    return bool(terminal) and group != front and any(map(_is_terminal, range(3)))


def _is_terminal(fd: int) -> bool:
    return stat.S_ISCHR(os.fstat(fd).st_mode) and os.isatty(fd)


def _is_wanted(argv: list[str]) -> bool:
    """Tell whether the caller's settings are for warm processes; what is wrong with them will be
    said by the caller itself."""
    from clew.core.errors import ClewError

    from .settings import Settings

    own = argv[1 : next((at for at, word in enumerate(argv) if word in ("run", "continue")), 1)]
    settings = Settings({}, trust_once="--trust" in own, note=lambda _text: None)
    try:
        RESIDENTS.want(settings.value("warm"))
    except ClewError:
        return False
    return RESIDENTS.wanted


def _have_streams() -> None:
    """Make the three streams as Python makes them at its start."""
    for number, name, mode in ((0, "stdin", "rb"), (1, "stdout", "wb"), (2, "stderr", "wb")):
        old = getattr(sys, f"__{name}__")
        raw: Any = open(number, mode, closefd=False)  # noqa: SIM115 - as long as the process lives
        stream = io.TextIOWrapper(
            raw,
            encoding=old.encoding,
            errors=old.errors,
            newline=None if number == 0 else "\n",
            line_buffering=number == 2 or raw.isatty(),
            write_through=old.write_through,
        )
        stream.mode = mode[0]  # type: ignore[misc]
        raw.raw.name = f"<{name}>"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _heed_signals(ignored: int) -> None:
    """Have signals do what they do in a process that has just begun, but for those ignored."""
    for signum in signal.valid_signals():
        if signum in (signal.SIGKILL, signal.SIGSTOP):
            continue
        wanted = signal.SIG_IGN if ignored >> (signum - 1) & 1 else signal.SIG_DFL
        if signal.getsignal(signum) != wanted:
            signal.signal(signum, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _run(socket: "_socket.socket") -> None:
    from .entry import run

    code = run()
    socket.settimeout(None)
    say(socket, DIED if code < 0 else ENDED, abs(code))
