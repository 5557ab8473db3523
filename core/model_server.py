"""The process that keeps one embedded model loaded: `python -m clew.core.model_server`.

It reads from stdin what it is to load, tells on stdout that it listens, and then has nothing to do
with whoever started it. It leaves when nobody has asked for ten minutes. It makes the key itself,
and hands it to processes of the same user, over the socket.
"""

import fcntl
import json
import os
import selectors
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from . import kept_wire as wire
from .errors import ProviderDown
from .kept_identity import states_of
from .llama import Llama, load

_ERROR_SECONDS = 5.0
_LOOK_SECONDS = 10.0
_LOCK_SECONDS = 1.0
_NO_PROMPTS_IN_MEMORY = {"cache_ram_mib": 0}  # it would be up to 8 GiB, of everybody's prompts


class ModelServer:
    """Answers those who want to ask the model, and counts them."""

    def __init__(self, listener: socket.socket, path: str, wanted: dict[str, Any]) -> None:
        self._path = path
        self._place = os.stat(path)
        self._wanted = wanted["identity"]
        self._idle_seconds = wanted["idle"]
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._heard: dict[socket.socket, bytes] = {}
        self._asking: set[socket.socket] = set()
        self._last = ""
        self._leaving = False
        self._llama: Llama | None = None
        self._error: str | None = None
        self._began = time.time()
        self._used = time.monotonic()

    def load(self) -> None:
        """Load the model, or find out why that cannot be."""
        path = self._wanted["path"]
        try:
            self._llama = load(path, _NO_PROMPTS_IN_MEMORY)
        except ProviderDown as error:
            self._error = error.message.partition(f"cannot load {path}: ")[2]
            self._idle_seconds = min(self._idle_seconds, _ERROR_SECONDS)
        if states_of(path) != self._wanted["files"]:
            sys.exit(1)
        self._used = time.monotonic()

    def serve(self) -> None:
        """Serve until nobody asks any more."""
        while self._asking or not self._is_over():
            self._turn(self._patience())

    def _patience(self) -> float:
        left = self._used + self._idle_seconds - time.monotonic()
        return _LOOK_SECONDS if self._asking else max(0.0, min(_LOOK_SECONDS, left))

    def _is_over(self) -> bool:
        """Tell whether to leave. Who comes in that moment finds the connection closed, and starts
        another server."""
        idle = time.monotonic() - self._used >= self._idle_seconds
        return idle or self._leaving or not self._can_be_found()

    def _can_be_found(self) -> bool:
        with suppress(OSError):
            return os.path.samestat(os.stat(self._path), self._place)
        return False

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._accept()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._hear(key.fileobj)

    def _accept(self) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            if not wire.is_ours(connection):
                connection.close()
                return
            connection.setblocking(False)
            self._heard[connection] = b""
            self._selector.register(connection, selectors.EVENT_READ)

    def _hear(self, connection: socket.socket) -> None:
        try:
            piece = connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._heard[connection] += piece
        if not piece:
            self._drop(connection)
        elif self._heard[connection].endswith(b"\n"):
            message = wire.parsed(self._heard[connection])
            self._heard[connection] = b""
            try:
                wire.send(connection, self._answer(connection, message))
            except OSError:
                self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()
        del self._heard[connection]
        if connection in self._asking:
            self._asking.remove(connection)
            self._used = time.monotonic()

    def _answer(self, connection: socket.socket, message: dict[str, Any]) -> dict[str, Any]:
        if "asks" in message:
            return self._admit(connection, message["asks"], str(message.get("by")))
        if message.get("leave"):
            self._leaving = True
        return self._state()

    def _admit(self, connection: socket.socket, wanted: Any, who: str) -> dict[str, Any]:
        if wanted != self._wanted or self._leaving:
            self._leaving = self._leaving or not self._asking
            return {"busy": bool(self._asking)}
        if self._llama is None:
            self._leaving = True
            return {"error": self._error}
        again, self._last = who == self._last, who
        ahead = len(self._asking)
        self._asking.add(connection)
        self._used = time.monotonic()
        llama = self._llama
        return {"address": llama.address, "key": llama.key, "ahead": ahead, "again": again}

    def _state(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "path": self._wanted["path"],
            "address": self._llama.address if self._llama else None,
            "since": self._began,
            "asking": len(self._asking),
            "idle": 0.0 if self._asking else time.monotonic() - self._used,
        }


def main() -> None:
    """Be the server, unless there is one."""
    wanted = json.loads(sys.stdin.buffer.read())
    if os.fork():
        os._exit(0)  # nobody has to wait for the other one
    os.umask(0o077)
    lock = _locked(os.path.join(wanted["folder"], wire.LOCK))
    if lock is None:
        return
    _say(lock, wire.LOADING)
    path = os.path.join(wanted["folder"], wire.SOCKET)
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    listener.setblocking(False)
    server = ModelServer(listener, path, wanted)
    os.write(1, b"listening\n")
    _let_go_of_stdio()
    server.load()
    _say(lock, wire.READY)
    server.serve()
    with suppress(OSError):
        os.unlink(path)


def _locked(path: str) -> int | None:
    """Return the lock; None while another server has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return None
            time.sleep(0.01)
        else:
            return lock


def _say(lock: int, word: bytes) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, word, 0)


def _let_go_of_stdio() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)
    os.close(nothing)


if __name__ == "__main__":
    try:
        main()
    finally:
        os._exit(0)  # llama.cpp's threads have nothing left to do
