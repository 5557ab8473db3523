"""Faults at a single system call: strace lets it fail, or kills the process in front of it.

A run is recorded once; each call of it that touches the store is a point. The same run is then made
again for each point and each fault. Points are counted by name (the third `fsync`), as strace
counts.
"""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from tests.conftest import CLEW, Clew, Result

_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_ALL = "%file,%desc"
LAST = "exit_group"


@dataclass(frozen=True)
class Point:
    """The `number`-th call of this name, and what it was called with."""

    name: str
    number: int
    arguments: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}: {self.arguments[:200]}"


def require_strace() -> None:
    """Skip the test, and say why, where no system call can be made to fail."""
    reason = _missing()
    if reason:
        pytest.skip(reason)


@cache
def _missing() -> str:
    if not shutil.which("strace"):
        return "strace is not installed"
    fault = ("-e", "trace=getcwd", "-e", "inject=getcwd:error=EIO", "-o", "/dev/null")
    done = subprocess.run(["strace", *fault, "true"], capture_output=True, text=True, check=False)
    return f"ptrace is not allowed: {done.stderr.strip()}" if done.returncode else ""


def points(clew: Clew, *arguments: str) -> list[Point]:
    """Run to the end, and return the calls that touched the home, in order."""
    trace = _trace(clew, ("-e", f"trace={_ALL},{LAST}"), arguments, code=0)
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for call in map(_CALL.match, trace.splitlines()):
        if call is None:
            continue
        thread, name, text = call.groups()
        counts[thread, name] += 1
        if str(clew.home) in text or name == LAST:
            found.append(Point(name, counts[thread, name], text.replace(str(clew.home), "HOME")))
    return found


def faulty(clew: Clew, point: Point, fault: str, *arguments: str) -> Result | None:
    """Run with a fault at a point; None if the run never came there.

    `fault` is in strace's words: `error=EIO`, `signal=KILL`.
    """
    inject = f"inject={point.name}:{fault}:when={point.number}"
    return _injected(clew, ("-e", f"trace={point.name}", "-e", inject), arguments)


def sticky(
    clew: Clew, name: str, number: int, error: str, paths: Sequence[str], *arguments: str
) -> Result | None:
    """Run while each call of this name on these paths fails, from the `number`-th on.

    None if the run makes fewer calls.
    """
    only = [word for path in paths for word in ("-P", path)]
    inject = f"inject={name}:error={error}:when={number}+"
    return _injected(clew, (*only, "-e", f"trace={name}", "-e", inject), arguments)


def _injected(clew: Clew, how: Sequence[str], arguments: Sequence[str]) -> Result | None:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        trace = _trace(clew, how, arguments, out=out.fileno(), err=err.fileno())
        out.seek(0)
        err.seek(0)
        result = Result(_ended(trace), out.read(), err.read())
    hit = "(INJECTED)" in trace or "+++ killed by SIGKILL +++" in trace
    return result if hit else None


def _ended(trace: str) -> int:
    last = trace.splitlines()[-1]
    found = re.search(r"\+\+\+ exited with (\d+) \+\+\+", last)
    return int(found[1]) if found else -9


def _trace(
    clew: Clew,
    how: Sequence[str],
    arguments: Sequence[str],
    *,
    out: int = subprocess.DEVNULL,
    err: int = subprocess.DEVNULL,
    code: int | None = None,
) -> str:
    """Run clew under strace, and return what strace wrote down."""
    with tempfile.NamedTemporaryFile("r") as file:
        options = ("-f", "-y", "-s", "16", "-o", file.name)
        done = subprocess.run(
            ["strace", *options, *how, str(CLEW), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=clew.env,
            cwd=clew.cwd,
            timeout=200,
            check=False,
        )
        assert code is None or done.returncode == code
        return file.read()
