"""The process that the user's shell started: this one, or the one that this one makes a run for.

The shell's jobs and the terminal are that one's.
"""

import errno
import os
import time

_STOPPED_SECONDS = 0.05
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

    def stop_in_background(self, terminal: int) -> None:
        """Have the job stopped that reads from its terminal in the background, until it is in front
        again, as the system would if this were the caller itself."""
        from signal import SIGTTIN

        while self.pid is not None and os.isatty(terminal):
            group, _, terminal_of_job, front = facts(self.pid)
            if not terminal_of_job or group == front:
                return
            os.killpg(group, SIGTTIN)
            end = time.monotonic() + _PATIENCE_SECONDS
            while not _is_stopped(self.pid) and time.monotonic() < end:
                time.sleep(_STOPPED_SECONDS)
            if not _is_stopped(self.pid):
                raise OSError(errno.EIO, os.strerror(errno.EIO))  # it does not want to be
            while _is_stopped(self.pid):
                time.sleep(_STOPPED_SECONDS)


def _is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        return file.readall().rpartition(b")")[2].split()[0] == b"T"


def facts(pid: int) -> tuple[int, int, int, int]:
    """Return a process's group, session, terminal (0: none) and which group that has in front."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        group, session, terminal, front = map(int, file.readall().rpartition(b")")[2].split()[2:6])
    return group, session, terminal, front


CALLER = Caller()
