"""One command, started and waited for: how long it took, and what it used."""

import os
import pty
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS = 180
"""After which a command that hangs is ended."""


@dataclass(frozen=True)
class Command:
    """What to start, and where."""

    words: Sequence[str | Path]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True)
class Sample:
    """What one command took; bytes are those of it and of what it waited for."""

    code: int
    seconds: float
    cpu: float
    peak: int
    read: int
    written: int
    out: bytes
    err: bytes
    first: float = 0.0
    """Seconds until the first word was there to see."""


class CommandFailed(Exception):
    """A command ended in an error: its row cannot be measured."""


def measured(command: Command) -> Sample:
    """Run to the end; raise CommandFailed if that is not a good one."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = _start(command, out.fileno(), err.fileno())
        sample = _ended(process, started)
        out.seek(0)
        err.seek(0)
        return _good(Sample(**{**vars(sample), "out": out.read(), "err": err.read()}))


def first_seen(command: Command, word: bytes) -> Sample:
    """Run with a terminal for stdout, and note when `word` was there to see."""
    ours, theirs = pty.openpty()
    with tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = _start(command, theirs, err.fileno())
        os.close(theirs)
        seen, first = b"", 0.0
        with suppress(OSError):  # how a terminal ends whose last user has left
            while part := os.read(ours, 1 << 16):
                seen += part
                if not first and word in seen:
                    first = time.perf_counter() - started
        os.close(ours)
        sample = _ended(process, started)
        err.seek(0)
        said = Sample(**{**vars(sample), "out": seen, "err": err.read(), "first": first})
    if not first:
        raise CommandFailed(f"{word!r} was never seen")
    return _good(said)


def _start(command: Command, out: int, err: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command.words,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=command.env,
        cwd=command.cwd,
    )


def _ended(process: "subprocess.Popen[bytes]", started: float) -> Sample:
    """Wait, and read what the process used before it is gone."""
    guard = threading.Timer(SECONDS, process.kill)
    guard.daemon = True
    guard.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    guard.cancel()
    seconds = time.perf_counter() - started
    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
    used = {key: int(value) for key, value in (line.split(": ") for line in lines)}
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Sample(
        code=process.returncode,
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss << 10,
        read=used["rchar"],
        written=used["wchar"],
        out=b"",
        err=b"",
    )


def _good(sample: Sample) -> Sample:
    if sample.code:
        said = (sample.err or sample.out).decode(errors="replace").strip()
        raise CommandFailed(f"exit {sample.code}: {said[-300:]}")
    return sample
