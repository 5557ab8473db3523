"""Faults at a single system call: strace lets it fail, or kills the process in front of it.

A run is recorded once; each call of it that touches the store is a point. The same run is then made
again for each point and each fault. Points are counted by name (the third `fsync`), as strace
counts.

Where the system has it, only the calls in question stop (seccomp-bpf): that is five times as fast.
A signal that strace sends at such a stop gets lost, so the kill comes from here, while strace holds
the call.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CLEW, Clew, Result, eventually

KILL = "kill"
LAST = "exit_group"
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_ALL = "%file,%desc"
_QUICK = "--seccomp-bpf"
_HELD = 3_000_000  # microseconds


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
    done = _try_out()
    return f"ptrace is not allowed: {done.stderr.strip()}" if done.returncode else ""


@cache
def quick() -> Sequence[str]:
    """Return the option with which only calls in question stop; none where it cannot be had."""
    done = _try_out(_QUICK)
    return () if done.returncode or done.stderr else (_QUICK,)


def _try_out(*options: str) -> "subprocess.CompletedProcess[str]":
    fault = ("-e", "trace=getcwd", "-e", "inject=getcwd:error=EIO", "-o", "/dev/null")
    command = ["strace", "-f", *options, *fault, "true"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def points(clew: Clew, *arguments: str) -> list[Point]:
    """Run to the end, and return the calls that touched the home, in order."""
    trace, code = _trace(clew, ("-e", f"trace={_ALL},{LAST}"), arguments)
    assert code == 0
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

    `fault` is KILL, or in strace's words: `error=EIO`.
    """
    what = f"delay_enter={_HELD}" if fault == KILL else fault
    inject = f"inject={point.name}:{what}:when={point.number}"
    how = ("-e", f"trace={point.name}", "-e", inject)
    return _injected(clew, how, arguments, point if fault == KILL else None)


def sticky(
    clew: Clew, name: str, number: int, error: str, paths: Sequence[str], *arguments: str
) -> Result | None:
    """Run while each call of this name on these paths fails, from the `number`-th on.

    None if the run makes fewer calls.
    """
    only = [word for path in paths for word in ("-P", path)]
    inject = f"inject={name}:error={error}:when={number}+"
    return _injected(clew, (*only, "-e", f"trace={name}", "-e", inject), arguments)


def _injected(
    clew: Clew, how: Sequence[str], arguments: Sequence[str], victim: Point | None = None
) -> Result | None:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        trace, code = _trace(clew, how, arguments, victim, stdout=out, stderr=err)
        out.seek(0)
        err.seek(0)
        result = Result(_ended(trace), out.read(), err.read())
    killed = code == -signal.SIGKILL or "+++ killed by SIGKILL +++" in trace
    return result if killed or "(INJECTED)" in trace else None


def _ended(trace: str) -> int:
    last = trace.splitlines()[-1]
    found = re.search(r"\+\+\+ exited with (\d+) \+\+\+", last)
    return int(found[1]) if found else -9


def _trace(
    clew: Clew,
    how: Sequence[str],
    arguments: Sequence[str],
    victim: Point | None = None,
    **streams: Any,
) -> tuple[str, int]:
    """Run clew under strace; return what strace wrote down, and the exit code."""
    with tempfile.NamedTemporaryFile("r") as file:
        options = (*quick(), "-f", "-y", "-s", "16", "-o", file.name)
        with subprocess.Popen(
            ["strace", *options, *how, str(CLEW), *arguments],
            stdin=subprocess.DEVNULL,
            env=clew.env,
            cwd=clew.cwd,
            text=True,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | streams,
        ) as process:
            if victim is not None:
                _kill_at(victim, Path(file.name), process)
            code = process.wait(timeout=200)
        return file.read(), code


def _kill_at(victim: Point, trace: Path, process: "subprocess.Popen[str]") -> None:
    """Kill the process that strace holds in front of a call, as soon as one is held."""
    call = re.compile(rf"^(\d+) +{victim.name}\(", re.MULTILINE)

    def held() -> list[int]:
        counts = Counter(call.findall(trace.read_text(errors="replace")))
        return [int(thread) for thread, count in counts.items() if count >= victim.number]

    eventually(lambda: held() or process.poll() is not None)
    for thread in held()[:1]:
        if _children(process.pid) == [thread] and not _children(thread):
            _kill_both(thread, process)
        else:
            os.kill(thread, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _kill_both(pid: int, strace: "subprocess.Popen[str]") -> None:
    """Kill a process, and strace, which would still wait for as long as it was told to hold it.

    Return when nothing is left of the process that has a file open or a lock.
    """
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        strace.kill()
        assert select.select([process], [], [], 100)[0]
    finally:
        os.close(process)
