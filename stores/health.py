"""Whether a folder can keep sessions safe, tried out on the file system it is on."""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Literal

from clew.core.clock import stamp
from clew.core.errors import ClewError, StoreError

from . import native_lock
from .attached import FOLDER as ATTACHMENTS
from .attached import harm
from .files import close, draft_path, make_folder, open_private, storing, sync_folder, write_all
from .inflight import FOLDER

_MOUNTS = "/proc/self/mountinfo"
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "lustre", "fuse.sshfs", "ncpfs")
_IN_MEMORY = ("tmpfs", "ramfs")
_LITTLE_SPACE = 100 << 20
_ROUNDS = 5
_A_LINE = 2048
_SKEW_SECONDS = 60.0
_MOST_HASHED = 256 << 20

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """What one check found; `exit_code` is 0 unless it is a failure."""

    check: str
    status: Status
    message: str
    hint: str | None = None
    exit_code: int = 0


def ok(check: str, message: str) -> Finding:
    """Return that all is well."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, hint: str) -> Finding:
    """Return that something works and may still surprise."""
    return Finding(check, "warning", message, hint)


def failure(check: str, error: ClewError) -> Finding:
    """Return that something does not work."""
    return Finding(check, "failure", error.message, error.hint, error.exit_code)


def examine(root: str) -> Iterator[Finding]:
    """Try out whether sessions are safe below `root`; what is made for that is taken away again."""
    there = _nearest(root)
    try:
        yield from _folder(root)
    except ClewError as error:
        yield failure("home", error)
        return
    try:
        yield _file_system(root)
        for check, attempt in (("locks", _locks), ("fsync", _fsync), ("space", _space)):
            try:
                yield attempt(check, root)
            except ClewError as error:
                yield failure(check, error)
        files = list(_files(os.path.join(root, "users")))
        yield _leftovers(files)
        yield from _attachments(os.path.join(root, "users"))
        yield _clock(files)
    finally:
        _remove_folders(root, there)


def _nearest(path: str) -> str:
    """Return the folder itself, or the nearest above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _remove_folders(path: str, there: str) -> None:
    with suppress(OSError):
        while path != there:
            os.rmdir(path)
            path = os.path.dirname(path)


def _folder(root: str) -> Iterator[Finding]:
    make_folder(root)
    users = os.path.join(root, "users")
    for folder in [users, *(entry.path for entry in _entries(users))]:
        if os.path.isdir(folder):
            make_folder(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StoreError(
                    f"{folder}: nothing can be written there", hint=f"chmod 700 {folder}"
                )
    mode = stat.S_IMODE(os.stat(root).st_mode)
    if mode & 0o077:
        yield warning("home", f"{root}: others may look into it ({mode:03o})", f"chmod 700 {root}")
    else:
        yield ok("home", f"{root}: yours alone")


def _file_system(root: str) -> Finding:
    mounts = ""
    with suppress(OSError), open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        mounts = file.read()
    kind = type_of(os.path.realpath(root), mounts)
    if kind is not None and kind.startswith(_NETWORK):
        return warning(
            "disk",
            f"a network file system ({kind}): locks may not hold between machines",
            "choose a folder on a local disk with --home or $CLEW_HOME",
        )
    if kind in _IN_MEMORY:
        return warning(
            "disk",
            f"in memory ({kind}): sessions are gone after a restart",
            "choose a folder on a disk with --home or $CLEW_HOME",
        )
    return ok("disk", kind or "a file system of a kind that this machine does not tell")


def type_of(path: str, mounts: str) -> str | None:
    """Return the type of the file system that `path` is on; `mounts` as in /proc/self/mountinfo."""
    longest, found = -1, None
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place.split(" ")[4])
        inside = os.path.join(path, "").startswith(os.path.join(point, ""))
        if inside and len(point) >= longest:
            longest, found = len(point), kind.split(" ")[0]
    return found


@contextmanager
def _draft(root: str) -> Iterator[tuple[str, int]]:
    """Make a file to try things out with."""
    path = draft_path(os.path.join(root, ".doctor"))
    with storing("write in", root):
        fd = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        with storing("write in", root):
            yield path, fd
    finally:
        close(fd)
        with suppress(OSError):
            os.unlink(path)


def _locks(check: str, root: str) -> Finding:
    with _draft(root) as (path, fd):
        if not native_lock.lock(fd):
            raise StoreError(f"a file of one's own cannot be locked in {root}")
        if _another_process_locks(path):
            raise StoreError(
                f"two processes have the same lock in {root}: sessions are not safe there",
                hint="choose a folder on a local disk with --home or $CLEW_HOME",
            )
    return ok(check, "one process at a time")


def _another_process_locks(path: str) -> bool:
    child = os.fork()
    if child == 0:
        code = 2
        with suppress(BaseException):
            code = int(native_lock.lock(open_private(path, os.O_RDWR)))
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def _fsync(check: str, root: str) -> Finding:
    times = []
    with _draft(root) as (_, fd):
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            write_all(fd, b"\0" * _A_LINE)
            os.fsync(fd)
            times.append(time.perf_counter() - started)
        sync_folder(root)
    return ok(check, f"{median(times) * 1000:.1f} ms for a line")


def _space(check: str, root: str) -> Finding:
    with storing("look at", root):
        free, inodes = shutil.disk_usage(root).free, os.statvfs(root)
    if inodes.f_files and not inodes.f_favail:
        raise StoreError(f"{root}: no file can be made, the disk has no inode left")
    shown = f"{free / (1 << 30):.1f} GiB free"
    if free < _LITTLE_SPACE:
        return warning(check, f"{free >> 20} MiB free", "make room: a full disk stops every run")
    return ok(check, shown)


def _files(users: str) -> Iterator[os.DirEntry[str]]:
    """Yield what stands in the folders of all users, and in those of their runs in flight."""
    for folder in _entries(users):
        yield from _entries(folder.path)
        yield from _entries(os.path.join(folder.path, FOLDER))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _leftovers(files: list[os.DirEntry[str]]) -> Finding:
    """Tell what crashes and repairs have left behind."""
    kinds = {".torn": "torn ends", ".damaged": "unreadable records", ".original": "old files"}
    counts = dict.fromkeys(kinds.values(), 0)
    for file in files:
        for suffix, word in kinds.items():
            counts[word] += file.name.endswith(suffix)
    sessions = sum(file.name.endswith(".jsonl") for file in files)
    found = ", ".join(f"{word}: {count}" for word, count in counts.items() if count)
    if found:
        hint = "look at what is beside the sessions' files, and delete what you do not need"
        return warning("sessions", f"{sessions}; {found}", hint)
    return ok("sessions", str(sessions))


def _attachments(users: str) -> Iterator[Finding]:
    """Tell how much is kept that runs were sent with, and what of it was altered."""
    count = size = altered = 0
    for user in _entries(users):
        for file in _entries(os.path.join(user.path, ATTACHMENTS)):
            if file.name.endswith(".new"):  # half written, and never said to be there
                continue
            with suppress(OSError):
                count, size = count + 1, size + file.stat(follow_symlinks=False).st_size
            if size <= _MOST_HASHED:
                altered += harm(user.path, file.name) is not None
    told = f"{count}, {size / (1 << 20):.1f} MiB"
    if altered:
        hint = "`clew sessions verify --all` tells which runs had them"
        yield warning("attached", f"{told}; altered: {altered}", hint)
    elif count:
        yield ok("attached", told)


def _clock(files: list[os.DirEntry[str]]) -> Finding:
    newest = 0.0
    for file in files:
        with suppress(OSError):
            newest = max(newest, file.stat(follow_symlinks=False).st_mtime)
    if newest > time.time() + _SKEW_SECONDS:
        when = stamp(datetime.fromtimestamp(newest, UTC))
        return warning(
            "clock",
            f"a session was written at {when}, which is still to come",
            "set the clock; the order of lines does not depend on it, --since does",
        )
    return ok("clock", stamp(datetime.now(UTC)))
