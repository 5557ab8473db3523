"""The begin of a warm call: hand everything over, pass signals on, end as the run ends.

It imports next to nothing, and whatever is odd before the run begins means that there is no warm
process: nothing has been read or written by then.
"""

import _signal as signals  # type: ignore[import-not-found]  # `signal` would load enum
import os
import sys

_OFF = ("0", "false", "no")
_PATIENCE_SECONDS = 3.0
_COMMANDS = ("run", "continue")
_ITS_OWN = (b"/fd/", b"/dev/tty", b"/proc/self", b"/proc/thread-self")
"""What is another file for each process: of a shell's `<(...)`, too."""
_TOLD = (signals.SIGINT, signals.SIGTERM, signals.SIGHUP)


def call_warm() -> None:
    """Have a warm process make this call, and end as it ends; return where there is none for it."""
    if os.environ.get("CLEW_WARM", "").lower() in _OFF or not sys.platform.startswith("linux"):
        return
    # A program that calls `entry` may have changed what runs do; the installed command has not.
    if os.path.basename(sys.argv[0]) != "clew" or not _is_for_it(sys.argv[1:]):
        return
    if _names_its_own():
        return
    from .warm_place import socket_path

    path = socket_path()
    if path is None or not os.path.exists(path):
        return
    try:
        call = _Call(path)
    except (OSError, ValueError):
        return
    call.follow()


def _is_for_it(arguments: list[str]) -> bool:
    """Tell whether the command is one that asks a model."""
    words = iter(arguments)
    for word in words:
        if word in ("--home", "--store"):
            next(words, None)
        elif word != "--trust" and not word.startswith(("--home=", "--store=")):
            return word in _COMMANDS
    return False


def _names_its_own() -> bool:
    """Tell whether a file is named that only this process has."""
    said = b"\0".join((*map(os.fsencode, sys.argv), *os.environb.values()))
    return any(name in said for name in _ITS_OWN)


class _Call:
    """A run that another process is to make for this one. Raises OSError or ValueError for none."""

    def __init__(self, path: str) -> None:
        from .warm_link import Link

        self._link = Link(path, _PATIENCE_SECONDS)
        # Whoever holds the other end of it knows when this process is gone, however it went.
        theirs, self._lifeline = os.pipe()
        try:
            self._hand_over(theirs)
            self._child = self._link.go()
            self._process = os.pidfd_open(self._child)
        except BaseException:
            self._link.close()
            os.close(self._lifeline)
            raise
        finally:
            os.close(theirs)
        self._pass_signals_on()
        self._link.begin()

    def _hand_over(self, lifeline: int) -> None:
        from .warm_link import CALL
        from .warm_place import installation, interpreter, personality

        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._link.ask(
                (
                    CALL,
                    installation(),
                    interpreter(),
                    personality(),
                    sys.argv,
                    sys.path,
                    dict(os.environb),
                ),
                (0, 1, 2, here, lifeline),
            )
        finally:
            os.close(here)

    def follow(self) -> None:
        """Wait for the end, and end in the same way."""
        code, signum = self._link.end()
        if code is not None:
            os._exit(code)
        if signum != signals.SIGKILL:
            signals.signal(signum, signals.SIG_DFL)
        os.kill(os.getpid(), signum)
        os._exit(128 + signum)

    def _pass_signals_on(self) -> None:
        for signum in _TOLD:
            if signals.getsignal(signum) != signals.SIG_IGN:
                signals.signal(signum, self._tell)
        if signals.getsignal(signals.SIGTSTP) != signals.SIG_IGN:
            signals.signal(signals.SIGTSTP, self._stop)
        signals.signal(signals.SIGCONT, self._tell)

    def _tell(self, signum: int, _frame: object) -> None:
        try:
            signals.pidfd_send_signal(self._process, signum)
        except ProcessLookupError:
            return  # it has ended: what it sent tells how

    def _stop(self, signum: int, _frame: object) -> None:
        """Stop, as a shell wants it, and the run with it: it has no part in the shell's jobs."""
        self._tell(signals.SIGSTOP, None)
        signals.signal(signum, signals.SIG_DFL)
        os.kill(os.getpid(), signum)
        # Here it goes on.
        signals.signal(signum, self._stop)
        self._tell(signals.SIGCONT, None)
