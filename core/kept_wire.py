"""What a process and the server of a kept model say to each other: a line of JSON each way, over a
Unix socket in the folder of this user's processes.

As long as the connection of one that `asks` is open, the server stays.
"""

import json
import os
import socket
import struct
from contextlib import suppress
from typing import Any

SOCKET = "model.sock"
LOCK = "model.lock"
"""Held by the live server, which says in it whether it is `loading` or `ready`."""
IDLE_SECONDS = 600.0
"""So long a server stays that nobody asks."""
LOADING = b"loading"
READY = b"ready"
_LONGEST = 1 << 16
_CREDENTIALS = struct.Struct("3i")


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message. Raises OSError."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def parsed(line: bytes) -> dict[str, Any]:
    """Return a message; an empty one for what is none."""
    with suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return {}


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Return the message that comes; None if the other end closes first. Raises OSError."""
    line = b""
    while not line.endswith(b"\n"):
        piece = connection.recv(_LONGEST)
        if not piece or len(line) > _LONGEST:
            return None
        line += piece
    return parsed(line)


def is_ours(connection: socket.socket) -> bool:
    """Tell whether the other end is a process of this user; the folder sees to it otherwise."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(raw)[1] == os.getuid())
