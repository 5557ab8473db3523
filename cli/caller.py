"""The process that the user's shell started: this one, or the one that this one makes a run for.

The shell's jobs and the terminal are that one's.
"""

import errno
import os
import time

_STOPPED = b"T"
_STOPPED_SECONDS = 0.05
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 2.0


class Caller:
    """Which process it is: None is this one."""

    def __init__(self) -> None:
        self.pid: int | None = None

    def leader(self) -> int | None:
        """Return the first process of the session that has this terminal; None outside of one."""
        if self.pid is not None:
            _, session, terminal, _ = facts(self.pid)
            return session if terminal else None
        try:
            os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
            return os.getsid(0)
        except OSError:
            return None

    def is_in_front(self, terminal: int) -> bool:
        """Tell whether it has this terminal: in the background it must not draw on it."""
        try:
            if self.pid is not None:
                group, _, _, front = facts(self.pid)
                return os.isatty(terminal) and group == front
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return False

    def waits_to_read(self, terminal: int) -> bool:
        """Tell whether reading this takes `wait_to_read`, since the system sees to nothing."""
        return self.pid is not None and os.isatty(terminal)

    def wait_to_read(self, terminal: int) -> None:
        """Wait until there is something to be read from the caller's terminal, and it is in front.

        In the background its job is stopped, as the system would do it if this were the caller
        itself. What is typed meanwhile is the shell's.
        """
        from select import select

        while self.waits_to_read(terminal):
            self._stop_in_background()
            if not select([terminal], [], [], _LOOK_SECONDS)[0]:
                continue
            if self._may_read():
                return

    def _stop_in_background(self) -> None:
        """Return when the caller is in front, and goes on."""
        from signal import SIGTTIN

        assert self.pid is not None
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            state, (group, _, terminal, front) = _look(self.pid)
            if state == _STOPPED:
                end = time.monotonic() + _PATIENCE_SECONDS
            elif not terminal or group == front:
                return
            elif time.monotonic() > end:
                raise OSError(errno.EIO, os.strerror(errno.EIO))  # it does not want to be
            else:
                os.killpg(group, SIGTTIN)
            time.sleep(_STOPPED_SECONDS)

    def _may_read(self) -> bool:
        """Tell whether it is in front, and goes on: before that the shell has not made the terminal
        ready for it."""
        assert self.pid is not None
        state, (group, _, terminal, front) = _look(self.pid)
        return state != _STOPPED and (not terminal or group == front)


def facts(pid: int) -> tuple[int, int, int, int]:
    """Return a process's group, session, terminal (0: none) and which group that has in front."""
    return _look(pid)[1]


def _look(pid: int) -> tuple[bytes, tuple[int, int, int, int]]:
    """Return a process's state, too; all of it is of one moment."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        state, _, *numbers = file.readall().rpartition(b")")[2].split()[:6]
    group, session, terminal, front = map(int, numbers)
    return state, (group, session, terminal, front)


CALLER = Caller()
