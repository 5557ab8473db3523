"""What a call and the warm process that is to make it must have in common, and where they meet.

Only what the interpreter has loaded anyway is imported here: a warm call begins with this module.
"""

import os
import sys
from binascii import crc32

from clew.core.resident import folder
from clew.core.version import VERSION

CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of clew's three."""
_LONGEST = 107
"""Bytes that the path of a socket may have."""


def installation() -> str:
    """Return which clew this is, run by which Python."""
    return "\n".join((VERSION, CODE, sys.prefix, sys.executable, sys.version))


def socket_path(*, make: bool = False) -> str | None:
    """Return where a warm process of this user and this installation listens; None: nowhere."""
    where = folder(make=make)
    path = f"{where}/{socket_name()}"
    return None if where is None or len(os.fsencode(path)) > _LONGEST else path


def socket_name() -> str:
    """Return what distinguishes the sockets of installations.

    Two that are called the same do not take each other's calls: each call says whose it is.
    """
    return f"warm-{crc32(installation().encode('utf-8', 'surrogateescape')):08x}"


def interpreter() -> tuple[object, ...]:
    """Return how this interpreter was started, in values that `marshal` takes."""
    return (tuple(sys.flags), tuple(sys.warnoptions), tuple(sorted(sys._xoptions.items())))


def personality() -> bytes:
    """Return what only a process itself may read of itself."""
    try:
        with open("/proc/self/personality", "rb") as file:
            return file.read()
    except OSError:
        return b""
