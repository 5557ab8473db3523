"""Files that hold what was paid for: opened without trust in what stands at their path.

Whoever can write to a store's folder can plant links, pipes or other people's files in it.
Nothing here follows, blocks on, or writes to such a thing.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from clew.core.errors import StoreError

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FIRST_FREE = 3
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def storing(what: str, path: str) -> Iterator[None]:
    """Turn the system's errors into StoreError: `cannot WHAT PATH: reason`."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot {what} {path}: {error.strerror or error}", hint=_hint(error)
        ) from error


def _hint(error: OSError) -> str | None:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands where a folder is needed; choose another --home"
    if isinstance(error, PermissionError):
        return "choose a folder of your own with --home or $CLEW_HOME"
    return None


def open_private(path: str, flags: int) -> int:
    """Open a file of one's own, 0600 whatever the umask, and return its descriptor, above 2.

    Raises OSError as `open` does, and StoreError where the path is a link, a pipe, a folder, has
    a second name, or belongs to somebody else.
    """
    try:
        fd = above_stdio(os.open(path, flags | _FLAGS, 0o600))
    except OSError as error:
        if os.path.islink(path):
            raise StoreError(f"{path} is a symbolic link; clew does not follow it") from error
        raise
    try:
        status = os.fstat(fd)
        _refuse_strange(path, status)
        if stat.S_IMODE(status.st_mode) != 0o600:
            os.fchmod(fd, 0o600)
    except BaseException:
        close(fd)
        raise
    return fd


def close(fd: int) -> None:
    """Close a file. What this may complain of is no loss: all that has to last was synced."""
    with suppress(OSError):
        os.close(fd)


def above_stdio(fd: int) -> int:
    """Return a descriptor of the same file above 2: with stdout closed, `open` hands out 1."""
    if fd >= _FIRST_FREE:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    finally:
        close(fd)


def _refuse_strange(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not a regular file")
    if status.st_nlink > 1:
        raise StoreError(f"{path} has a second name (a hard link)", hint="copy it to a new file")
    if status.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to another user (uid {status.st_uid})")


def open_to_read(path: str) -> int | None:
    """Open a regular file to read, None if there is none; raise StoreError if it cannot be."""
    with storing("read", path):
        try:
            fd = above_stdio(os.open(path, os.O_RDONLY | _FLAGS))
        except FileNotFoundError:
            return None
        except OSError:
            if os.path.islink(path):
                raise StoreError(f"{path} is a symbolic link; clew does not follow it") from None
            raise
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            close(fd)
            raise
    if stat.S_ISREG(mode):
        return fd
    close(fd)
    raise StoreError(f"{path} is not a regular file")


def make_folder(path: str, *, parents: int = 0, durable: bool = True) -> None:
    """Make a folder that only its owner may enter (0700, whatever the umask), and its parents.

    Its name outlives a power cut, if it is to be `durable`. Raises StoreError if it, or one of so
    many `parents`, cannot be made, belongs to somebody else, or may be written to by others.
    """
    if parents:
        make_folder(os.path.dirname(path), parents=parents - 1, durable=durable)
    with storing("make the folder", path):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            _make(path, durable)
            status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{path} is not a folder", hint="choose another --home")
    if status.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to another user (uid {status.st_uid})",
            hint="choose a folder of your own with --home or $CLEW_HOME",
        )
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise StoreError(f"others may write to {path}", hint=f"chmod go-w {path}")


def _make(path: str, durable: bool) -> None:
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        _make(parent, durable)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)
        if durable:
            sync_folder(parent or os.curdir)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; a write may take fewer than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        close(fd)


def replace_file(
    path: str, data: bytes | Iterable[bytes], mode: int = 0o600, *, durable: bool = False
) -> None:
    """Put `data` in place of a file's content in one step; only `durable` waits for the disk."""
    draft = draft_path(path)
    fd = above_stdio(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, mode))
    try:
        try:
            os.fchmod(fd, mode)
            for part in [data] if isinstance(data, bytes) else data:
                write_all(fd, part)
            if durable:
                os.fsync(fd)
        finally:
            close(fd)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    if durable:
        sync_folder(os.path.dirname(path))


def draft_path(path: str) -> str:
    """Return a path, that nobody else has, for what is to stand at `path` once it is whole."""
    return f"{path}.{os.urandom(8).hex()}.new"


def parse_small(raw: bytes) -> Any:
    """Return the JSON value of these bytes; None if they are none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def read_small(path: str) -> bytes:
    """Return a small file's content; empty if it cannot be read."""
    try:
        fd = open_to_read(path)
    except StoreError:
        return b""
    if fd is None:
        return b""
    try:
        return os.read(fd, 1 << 16)
    finally:
        close(fd)
