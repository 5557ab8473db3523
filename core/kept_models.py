"""Embedded models that stay loaded for the next call: finding their server, starting it, ending it.

Where anything about it is odd there is none, and the model is loaded in this process as ever.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from . import kept_wire as wire
from .kept_identity import environment_for_llama, identity
from .llama import Llama, cannot_load
from .resident import RESIDENTS, folder

_TRIES = 4
_ANSWER_SECONDS = 5.0
_LOAD_SECONDS = 300.0
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Kept:
    """A model that is kept loaded. `since` is in seconds since 1970, `idle` in seconds."""

    pid: int
    path: str
    address: str | None
    since: float
    asking: int
    idle: float


@dataclass(frozen=True)
class Served:
    """Where it is served: how many others are asking, and whether this process was the last."""

    llama: Llama
    ahead: int
    again: bool


class _Own:
    """What this process has to do with the kept model. It uses one at most: two that take turns in
    one run would be loaded again and again."""

    def __init__(self) -> None:
        self.pid = 0
        self.name = ""
        self.path = ""

    def settle(self) -> None:
        """Begin anew in a forked process."""
        if self.pid != os.getpid():
            self.__init__()  # type: ignore[misc]
            self.pid, self.name = os.getpid(), os.urandom(16).hex()


_OWN = _Own()


@contextmanager
def served(path: str, meanwhile: Callable[[], object] | None = None) -> Iterator[Served | None]:
    """Yield where these weights are kept loaded, which lasts as long as the block; None where they
    are not to be. What there is to do `meanwhile` is done as soon as the server is asked.

    Raises ProviderDown for a file that cannot be loaded.
    """
    found = _find(path, meanwhile) if RESIDENTS.wanted else None
    if found is None:
        yield None
        return
    connection, there = found
    with connection:
        yield there


def kept() -> list[Kept]:
    """Return the models that are kept loaded."""
    there = _told({})
    return [there] if there else []


def stop() -> list[Kept]:
    """Have the kept models go as soon as nobody is asking them; return which there were."""
    there = _told({"leave": True})
    return [there] if there else []


def _told(message: dict[str, Any]) -> Kept | None:
    place = folder()
    if place is None or (connection := _connected(place)) is None:
        return None
    connection.settimeout(_ANSWER_SECONDS)
    with connection, suppress(OSError, TypeError):
        wire.send(connection, message)
        state = wire.receive(connection)
        return Kept(**state) if state else None
    return None


def _find(path: str, meanwhile: Callable[[], object] | None) -> tuple[socket.socket, Served] | None:
    """Return a connection to the server, which stays until that is closed."""
    _OWN.settle()
    place = folder(make=True)
    if place is None:
        return None
    if _OWN.path not in ("", path):
        return None
    try:
        return _found(place, path, meanwhile)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def _found(
    place: str, path: str, meanwhile: Callable[[], object] | None
) -> tuple[socket.socket, Served] | None:
    for _ in range(_TRIES):
        wanted = identity(path)
        connection = _connected(place)
        if connection is None:
            if not _started(place, wanted):
                return None
            continue
        answer = _asked(connection, wanted, meanwhile)
        if answer is not None and "address" in answer:
            there = _served(answer)
            if _is_open(there.llama):
                _OWN.path = path
                return connection, there
        connection.close()
        if answer is None or "address" in answer or answer.get("busy") is False:
            time.sleep(0.02)  # it has just left, or is about to
            continue
        if "error" in answer:
            raise cannot_load(path, str(answer["error"]))
        return None
    return None


def _connected(place: str) -> socket.socket | None:
    """Return a connection to whoever listens there; None if nobody does."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(os.path.join(place, wire.SOCKET))
        if wire.is_ours(connection):
            with open(os.path.join(place, wire.LOCK), "rb") as lock:
                loading = lock.read() == wire.LOADING
            connection.settimeout(_LOAD_SECONDS if loading else _ANSWER_SECONDS)
            return connection
    except OSError:
        pass
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _asked(
    connection: socket.socket, wanted: dict[str, Any], meanwhile: Callable[[], object] | None
) -> dict[str, Any] | None:
    """Return what the server says; None if it is gone."""
    try:
        wire.send(connection, {"asks": wanted, "by": _OWN.name})
        if meanwhile:
            meanwhile()
        return wire.receive(connection)
    except (ConnectionError, BrokenPipeError):
        return None
    except BaseException:
        connection.close()
        raise


def _served(answer: dict[str, Any]) -> Served:
    llama = Llama(str(answer["address"]), str(answer["key"]))
    return Served(llama, int(answer["ahead"]), bool(answer["again"]))


def _is_open(llama: Llama) -> bool:
    """Tell whether the address is that of a server that takes the key."""
    host, _, port = llama.address.removeprefix("http://").rpartition(":")
    question = f"GET /props HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {llama.key}\r\n"
    with suppress(OSError), socket.create_connection((host, int(port)), _ANSWER_SECONDS) as asking:
        asking.sendall(f"{question}Connection: close\r\n\r\n".encode())
        return asking.recv(64).split(b" ")[1:2] == [b"200"]
    return False


def _started(place: str, wanted: dict[str, Any], idle: float = wire.IDLE_SECONDS) -> bool:
    """Start a server and wait until it listens; False if it does not come to that."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "clew.core.model_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment_for_llama(),
        cwd="/",
        start_new_session=True,
    )
    what = json.dumps({"folder": place, "identity": wanted, "idle": idle}).encode()
    try:
        said, _ = process.communicate(what, _START_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    another = os.path.exists(os.path.join(place, wire.SOCKET))  # its starter was quicker
    return said == b"listening\n" or another
