"""A command that clew runs to its end: bytes in, bytes out."""

import os
import select
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from . import child
from .deadline import TimeIsUp
from .errors import StepFailed
from .stop import Stop
from .text import beginning, ending

_LONGEST_COMPLAINT = 2000
_LOOK_SECONDS = 0.1
_BLIND_SECONDS = 0.005
"""Where nothing tells that a process has ended."""
_DRAIN_SECONDS = 30.0
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote: of its output one byte more than was allowed, of its
    complaints the last ones."""

    code: int
    out: bytes
    out_total: int
    err: bytes
    err_total: int

    @property
    def how_it_ended(self) -> str:
        """How it ended, in words, with what it complained of."""
        said = ending(self.err, self.err_total).strip()
        said = said or beginning(self.out[:_LONGEST_COMPLAINT], self.out_total).strip()
        return child.how_it_ended(self.code) + (f": {said}" if said else "")


def run_command(
    argv: Sequence[str],
    data: bytes,
    environment: Mapping[str, str],
    folder: str | None = None,
    *,
    keeps: Collection[str] = (),
    seconds: float | None = None,
    most: int,
    stop: Stop | None = None,
    on_start: Callable[["subprocess.Popen[bytes]"], None] = lambda _process: None,
) -> Done:
    """Run a command to its end, in this `folder`, or where clew was called.

    It is ended, with all that it started, when its time is over (TimeIsUp) or `stop` says so
    (Cancelled). Raises StepFailed if it cannot be run.
    """
    try:
        process = child.start(argv, environment, folder, keeps=keeps)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        if folder is not None and not os.path.isdir(folder):
            reason = f"the folder {folder!r}, in which the run began, is gone"
        raise StepFailed(f"cannot run {argv[0]!r}: {reason}") from None
    on_start(process)
    with child.ended_with_us(process):
        return _to_its_end(process, data, seconds, most, stop)


def _to_its_end(
    process: "subprocess.Popen[bytes]",
    data: bytes,
    seconds: float | None,
    most: int,
    stop: Stop | None,
) -> Done:
    end = None if seconds is None else time.monotonic() + seconds
    with _Streams(process, data, most) as streams:
        while child.code_of(process) is None:
            if stop is not None:
                stop.check()
            left = _LOOK_SECONDS if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeIsUp
            streams.move(min(left, _LOOK_SECONDS))
        streams.drain()
        code = child.code_of(process)
        assert code is not None
        return Done(code, *streams.out.all, *streams.err.all)


class _Kept:
    """What is kept of a stream: the first bytes, or the `last` ones."""

    def __init__(self, most: int, *, last: bool = False) -> None:
        self._most = most
        self._last = last
        self._kept = bytearray()
        self._total = 0

    def take(self, chunk: bytes) -> None:
        self._total += len(chunk)
        if self._last:
            self._kept += chunk
            del self._kept[: -self._most]
        else:
            self._kept += chunk[: self._most - len(self._kept)]

    @property
    def all(self) -> tuple[bytes, int]:
        return bytes(self._kept), self._total


class _Streams:
    """A command's three streams: moves what can be moved, and wakes when the command ends."""

    def __init__(self, process: "subprocess.Popen[bytes]", data: bytes, most: int) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.out = _Kept(most + 1)
        self.err = _Kept(_LONGEST_COMPLAINT, last=True)
        self._stdin = process.stdin
        self._rest = memoryview(data)
        self._read = {process.stdout.fileno(): self.out, process.stderr.fileno(): self.err}
        self._waiting = select.poll()
        for fd in self._read:
            self._waiting.register(fd, select.POLLIN)
        os.set_blocking(self._stdin.fileno(), False)
        self._waiting.register(self._stdin.fileno(), select.POLLOUT)
        self._end: int | None = None
        with suppress(AttributeError, OSError):  # macOS has none, nor old kernels
            self._end = os.pidfd_open(process.pid)
            self._waiting.register(self._end, select.POLLIN)

    def __enter__(self) -> "_Streams":
        return self

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            os.close(self._end)

    def move(self, seconds: float) -> bool:
        """Move what there is, or wait for it, at most so long; tell whether anything was read."""
        longest = seconds if self._end is not None else min(seconds, _BLIND_SECONDS)
        read = False
        for fd, _ in self._waiting.poll(longest * 1000):
            if fd in self._read:
                read = self._take(fd) or read
            elif fd != self._end:
                self._feed()
        return read

    def drain(self) -> None:
        """Read what is there by now: what has left the group may hold a pipe open for ever."""
        end = time.monotonic() + _DRAIN_SECONDS
        while self.move(0) and time.monotonic() < end:
            pass

    def _take(self, fd: int) -> bool:
        chunk = os.read(fd, _CHUNK)
        if not chunk:
            self._waiting.unregister(fd)
            return False
        self._read[fd].take(chunk)
        return True

    def _feed(self) -> None:
        try:
            self._rest = self._rest[os.write(self._stdin.fileno(), self._rest[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            self._rest = self._rest[len(self._rest) :]
        if not self._rest:
            self._waiting.unregister(self._stdin.fileno())
            with suppress(OSError):
                self._stdin.close()
