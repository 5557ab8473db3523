"""Whether a process would do the same as another one: what they may do and use, and their code."""

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .warm_place import CODE

_LIMITS = ("limits", "cgroup", "oom_score_adj", "attr/current", "coredump_filter")
_ALIKE = (
    b"Uid:",
    b"Gid:",
    b"Groups:",
    b"Cap",
    b"NoNewPrivs:",
    b"Seccomp",
    b"Cpus_allowed:",
    b"Mems_allowed:",
)
_READ_EARLY = (b"PYTHON", b"LD_", b"LC_", b"LANG", b"MALLOC_", b"GLIBC_", b"SSL_", b"OPENSSL_")
"""Variables that are read before Python code could be seen to read them, or by none."""

Variables = frozenset[tuple[bytes, bytes | None]]
"""Names, each with its value; None: it is not set."""


@dataclass(frozen=True)
class Manners:
    """What a process leaves to those that it starts: `ignored` signals are bits."""

    umask: int
    ignored: int


def manners(pid: int) -> Manners:
    """Look at a process. Raises OSError, ValueError or KeyError where the system does not tell."""
    lines = dict(line.split(b":", 1) for line in _read(pid, "status").splitlines())
    return Manners(int(lines[b"Umask"], 8), int(lines[b"SigIgn"], 16))


def place(pid: int) -> tuple[object, ...]:
    """Return what a process may do and use. Raises OSError where the system does not tell."""
    status = [line for line in _read(pid, "status").splitlines() if line.startswith(_ALIKE)]
    names = sorted(os.listdir(f"/proc/{pid}/ns"))
    return (
        status,
        [_read(pid, name) for name in _LIMITS],
        [os.readlink(f"/proc/{pid}/ns/{name}") for name in names],
        os.readlink(f"/proc/{pid}/root"),
        os.getpriority(os.PRIO_PROCESS, pid),
        os.sched_getscheduler(pid),
        os.sched_getparam(pid).sched_priority,
    )


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        if name in _LIMITS and os.path.exists(f"/proc/{pid}"):
            return b""  # the kernel has none of these
        raise


def code(path: list[str]) -> list[tuple[str, int, int]]:
    """Return which state clew's files and the folders of libraries are in."""
    return [*_files(), *map(_state, [sys.executable, *path])]


def _files() -> Iterator[tuple[str, int, int]]:
    for layer in ("cli", "core", "stores"):
        with os.scandir(os.path.join(CODE, layer)) as found:
            for each in found:
                if each.name.endswith(".py"):
                    known = each.stat()
                    yield f"{layer}/{each.name}", known.st_mtime_ns, known.st_size


def _state(path: str) -> tuple[str, int, int]:
    try:
        known = os.stat(path)
    except OSError:
        return path, 0, 0
    return path, known.st_mtime_ns, 0 if stat.S_ISDIR(known.st_mode) else known.st_size


def same_variables(
    ours: Mapping[bytes, bytes], theirs: Mapping[bytes, bytes], read: Variables
) -> bool:
    """Tell whether variables that were `read` while this process was made are theirs as well."""
    early = (name for name in {*ours, *theirs} if name.startswith(_READ_EARLY))
    return all(theirs.get(name) == value for name, value in read) and all(
        theirs.get(name) == ours.get(name) for name in early
    )
