"""The warm process: it has loaded what a run needs, and makes a copy of itself for each call.

It has no thread, no connection and no file but its sockets and its lock; the copies do all the
work. As soon as there is time, one is made for the call that comes next.
"""

import _socket
import gc
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from .warm_child import FOR_ANOTHER, WHY, End, Made, attend
from .warm_likeness import code
from .warm_link import DIED, say
from .warm_place import personality, socket_path
from .warm_spare import Spare

_FRESH = 0.1
"""For how much of the time that it stays without a call it takes itself for one that is used."""
_BACKLOG = 128
_BREATH_SECONDS = 0.1
"""So long nothing has to have happened before the next copy is made: it slows calls down."""


def main() -> None:
    """Be a warm process: the lock, held, and how long to stay without a call are arguments."""
    lock, idle = int(sys.argv[1]), float(sys.argv[2])
    gc.disable()
    os.umask(0o077)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    os.set_inheritable(lock, False)
    path = socket_path()
    files = _open_files()
    made = _make()
    if path is not None and _is_alone() and _open_files() == files:  # copies would share them
        _Server(path, lock, made, idle).serve()
    os._exit(0)


def _make() -> Made:
    from .warm_load import load

    environment, path = dict(os.environb), list(sys.path)
    files = code(path)  # before they are read: what changes meanwhile is told from them
    loaded = load()
    gc.collect()
    gc.freeze()
    return Made(environment, path, personality(), files, loaded.read, loaded.changed)


def _is_alone() -> bool:
    """Tell whether a copy of this process would have all that it has: threads are not copied."""
    return threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class _Server:
    """Listens, until nobody has called for so long."""

    def __init__(self, path: str, lock: int, made: Made, idle: float) -> None:
        self._path = path
        self._lock = lock
        self._made = made
        self._idle = idle
        self._began = self._last = time.monotonic()
        self._served = self._refused = 0
        self._why: str | None = None
        self._children: dict[int, tuple[int, _socket.socket]] = {}
        self._told, self._tell = os.pipe()
        self._listener: _socket.socket | None = self._listen()
        self._poll = select.poll()
        for fd in (self._told, self._listener.fileno()):
            self._poll.register(fd, select.POLLIN)
        self._spare: Spare | None = None
        os.truncate(lock, 0)  # here it is

    def _listen(self) -> "_socket.socket":
        with suppress(FileNotFoundError):
            os.unlink(self._path)  # of one that was killed: the lock is ours
        listener = _socket.socket(
            _socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        )
        listener.bind(self._path)
        listener.listen(_BACKLOG)
        return listener

    def serve(self) -> None:
        """Do so, and let those that run come to their end."""
        signal.signal(signal.SIGTERM, lambda *_: os.write(self._tell, b"."))
        while self._listener is not None or self._children:
            left = self._last + self._idle - time.monotonic()
            if left <= 0 and not self._children:
                self._stop_listening()
                continue
            found = self._poll.poll(self._patience(left))
            if not found and self._listener is not None and self._spare is None:
                self._spare = Spare(self._forget, self._attend)
            for fd, _ in found:
                if fd in self._children:
                    self._bury(fd)
                elif fd == self._told:
                    os.read(fd, 1)
                    self._stop_listening()
                elif self._listener is not None and fd == self._listener.fileno():
                    self._answer(self._listener)

    def _patience(self, left: float) -> float | None:
        """Return for how many milliseconds there may be nothing to do."""
        if self._spare is None and self._listener is not None:
            return _BREATH_SECONDS * 1000
        return None if self._children else left * 1000

    def _stop_listening(self) -> None:
        """Leave the place to another one."""
        if self._listener is not None:
            os.unlink(self._path)
            self._poll.unregister(self._listener.fileno())
            self._listener.close()
            self._listener = None
            if self._spare is not None:
                self._spare.leave()
            os.close(self._lock)

    def _answer(self, listener: "_socket.socket") -> None:
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        caller = _socket.socket(fileno=fd)
        child = self._give_to_spare(caller)
        process = os.pidfd_open(child)
        self._children[process] = (child, caller)
        self._poll.register(process, select.POLLIN)

    def _give_to_spare(self, caller: "_socket.socket") -> int:
        """Return which process attends to this caller."""
        spare, self._spare = self._spare or Spare(self._forget, self._attend), None
        try:
            spare.give(caller, self._status())
        except OSError:  # somebody has killed it
            spare.leave()
            return self._give_to_spare(caller)
        return spare.pid

    def _forget(self) -> None:
        """Let go, in a copy, of all that is not for it."""
        for _, other in self._children.values():
            other.close()
        for fd in (self._told, self._tell, self._lock, *self._children):
            os.close(fd)
        assert self._listener is not None
        self._listener.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _attend(self, caller: "_socket.socket", status: dict[str, Any]) -> int:
        return attend(caller, self._made, status)

    def _bury(self, process: int) -> None:
        """See how a child ended, and tell its caller of a death by a signal."""
        child, caller = self._children.pop(process)
        self._poll.unregister(process)
        os.close(process)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            with suppress(OSError):
                say(caller, DIED, os.WTERMSIG(status))
        caller.close()
        self._count(os.waitstatus_to_exitcode(status))

    def _count(self, code: int) -> None:
        now = time.monotonic()
        if code not in WHY and code != End.ANSWERED:
            self._served += 1
            self._last = now
        elif code in WHY:
            self._refused += 1
            self._why = WHY[End(code)]
            useless = not self._children and now - self._last > _FRESH * self._idle
            if code == End.OUTDATED or (code in FOR_ANOTHER and useless):
                self._stop_listening()  # the next one may fit those that come

    def _status(self) -> dict[str, Any]:
        return {
            "seconds": time.monotonic() - self._began,
            "served": self._served,
            "under_way": len(self._children),
            "refused": self._refused,
            "why": self._why,
        }
