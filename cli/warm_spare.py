"""A copy of the warm process that waits for a caller: copying takes a tenth of the time of a call,
and is done between calls."""

import _socket
import os
import signal
from collections.abc import Callable
from typing import Any

from .warm_link import hear_request, tell

Attend = Callable[["_socket.socket", dict[str, Any]], int]


class Spare:
    """It first has to `forget` what its parent has open, and ends with what `attend` returns.

    Signals wait there until a call heeds them; without a caller it ends with its parent.
    """

    def __init__(self, forget: Callable[[], None], attend: Attend) -> None:
        self._socket, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        every = signal.valid_signals()
        signal.pthread_sigmask(signal.SIG_BLOCK, every)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._socket.close()
                forget()
                os._exit(_wait(theirs, attend))
            finally:
                os._exit(70)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, every)
        theirs.close()

    def give(self, caller: "_socket.socket", status: dict[str, Any]) -> None:
        """Have it attend to a caller. Raises OSError if it is gone."""
        tell(self._socket, status, (caller.fileno(),))
        self._socket.close()

    def leave(self) -> None:
        """Have it end, and wait for that."""
        self._socket.close()
        os.waitpid(self.pid, 0)


def _wait(parent: "_socket.socket", attend: Attend) -> int:
    try:
        status, (caller,) = hear_request(parent, 1)
    except (OSError, ValueError, EOFError):
        return 0  # nobody came
    parent.close()
    return attend(_socket.socket(fileno=caller), status)
