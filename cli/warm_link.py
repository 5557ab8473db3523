"""What a warm call's two sides say to each other, over a Unix socket.

The caller hands over a request and its files, and gets GO with the number of the process that would
make the call, or COLD. It says BEGIN, and only then does the call begin. The end is ENDED with the
exit code, or DIED with a signal.
"""

import _socket
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than all that is done here
    from typing import Any

GO = b"g"
COLD = b"c"
BEGIN = b"b"
ENDED = b"e"
DIED = b"d"
_WORD = 1 + 8
_KILLED = 9
_CREDENTIALS = 12
_LONGEST = 1 << 26
"""Bytes that a request may have: the kernel lets no process have that many of arguments and
environment."""

CALL = "call"
STATUS = "status"


class Link:
    """A caller's connection to a warm process of the same user. Raises OSError or ValueError for
    whatever is odd."""

    def __init__(self, path: str, seconds: float) -> None:
        kind = _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
        self._socket = _socket.socket(_socket.AF_UNIX, kind)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(path)
            self.pid, uid = peer(self._socket)
            if uid != os.geteuid():
                raise ValueError("somebody else listens")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def ask(self, request: "tuple[Any, ...]", fds: tuple[int, ...] = ()) -> None:
        """Send a request, with these files."""
        tell(self._socket, request, fds)

    def go(self) -> int:
        """Return which process would make the call."""
        word, pid = self._hear()
        if word != GO:
            raise ValueError("it is not for it")
        return pid

    def begin(self) -> None:
        """Have the call begin."""
        self._socket.settimeout(None)
        self._socket.sendall(BEGIN)

    def end(self) -> tuple[int | None, int]:
        """Wait for the end of the call; return its exit code, or None and the signal it died of."""
        try:
            word, value = self._hear()
        except (OSError, ValueError):
            return None, _KILLED  # both that could have told were killed
        return (value, 0) if word == ENDED else (None, value)

    def answer(self) -> "Any":
        """Return the answer to a question."""
        raw = b""
        while more := self._socket.recv(1 << 16):
            raw += more
        return marshal.loads(raw)

    def _hear(self) -> tuple[bytes, int]:
        heard = b""
        while len(heard) < _WORD:
            more = self._socket.recv(_WORD - len(heard))
            if not more:
                raise ValueError("it has gone")
            heard += more
        return heard[:1], int.from_bytes(heard[1:], sys.byteorder)


def tell(socket: "_socket.socket", request: "Any", fds: tuple[int, ...] = ()) -> None:
    """Send something that `hear_request` returns."""
    raw = marshal.dumps(request)
    packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)] if fds else []
    if socket.sendmsg([_number(len(raw))], control) != _WORD - 1:
        raise ValueError
    socket.sendall(raw)


def say(socket: "_socket.socket", word: bytes, value: int = 0) -> None:
    """Tell a caller this."""
    socket.sendall(word + _number(value))


def hear_request(socket: "_socket.socket", most_fds: int) -> "tuple[Any, list[int]]":
    """Return a request and the files that came with it; raise ValueError or OSError for none."""
    flags = _socket.MSG_CMSG_CLOEXEC | _socket.MSG_WAITALL
    room = _socket.CMSG_SPACE(most_fds * 4)
    head, control, _, _ = socket.recvmsg(_WORD - 1, room, flags)
    fds = [
        int.from_bytes(data[at : at + 4], sys.byteorder)
        for level, kind, data in control
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for at in range(0, len(data) - 3, 4)
    ]
    length = int.from_bytes(head, sys.byteorder)
    if length > _LONGEST:
        raise ValueError("it is too long")
    raw = bytearray()
    while len(raw) < length and (more := socket.recv(min(length - len(raw), 1 << 20))):
        raw += more
    return marshal.loads(raw), fds


def peer(socket: "_socket.socket") -> tuple[int, int]:
    """Return which process is at the other end, and which user's it is."""
    raw = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS)
    assert isinstance(raw, bytes)
    pid, uid = (int.from_bytes(raw[at : at + 4], sys.byteorder) for at in (0, 4))
    return pid, uid


def _number(value: int) -> bytes:
    return value.to_bytes(_WORD - 1, sys.byteorder)
