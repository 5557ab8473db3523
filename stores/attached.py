"""Attachments of one user: a file each, named after the sha256 of its content, written once.

A name comes from a line that anybody may have written: only what is a sha256 becomes a path.
"""

import os
import re
from contextlib import suppress

from clew.core.errors import StoreError
from clew.core.media import MOST_BYTES

from .files import close, make_folder, open_to_read, replace_file, storing, sync_folder

FOLDER = "attachments"
_NAME = re.compile("[0-9a-f]{64}")


def keep(folder: str, content: bytes) -> None:
    """Keep this content below a user's folder, durable on return."""
    name = _name_of(content)
    place = os.path.join(folder, FOLDER)
    make_folder(place)
    path = os.path.join(place, name)
    known = read(folder, name) is not None
    with storing("write", path):
        if known:
            sync_folder(place)  # whoever wrote it may not have come that far
        else:
            replace_file(path, content, durable=True)


def read(folder: str, name: str) -> bytes | None:
    """Return what is kept under this name; None if it is gone, or is not what was kept."""
    if not _NAME.fullmatch(name):
        return None
    path = os.path.join(folder, FOLDER, name)
    fd = open_to_read(path)
    if fd is None:
        return None
    try:
        with storing("read", path):
            raw = _whole(fd)
    finally:
        close(fd)
    return raw if raw is not None and _name_of(raw) == name else None


def harm(folder: str, name: str) -> str | None:
    """Return what is wrong with what is kept under this name, None if nothing is."""
    if not _NAME.fullmatch(name) or not os.path.lexists(os.path.join(folder, FOLDER, name)):
        return "is gone"
    with suppress(StoreError):
        return "was altered" if read(folder, name) is None else None
    return "cannot be read"


def _name_of(content: bytes) -> str:
    from hashlib import sha256  # it loads OpenSSL

    return sha256(content).hexdigest()


def _whole(fd: int) -> bytes | None:
    """Return the content of a file; None if it is larger than any attachment."""
    if os.fstat(fd).st_size > MOST_BYTES:
        return None
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read(MOST_BYTES + 1)
