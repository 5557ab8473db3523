"""A tool that is a command: JSON on its standard input, its standard output the result.

No shell is ever involved. The command runs where clew was called, without the provider's keys and
without any of clew's open files, in a session of its own, so that it can be ended with all it
started.
"""

import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from .run_environment import NAMES
from .text import beginning, ending, is_secret_name
from .tools import LONGEST_RESULT, RunContext, ToolError, ToolSpec

DEFAULT_SECONDS = 60.0
_LONGEST_COMPLAINT = 2000
_CHUNK = 1 << 16
_LOOK_MILLISECONDS = 50
_DRAIN_SECONDS = 30.0


class CommandTool:
    """Runs `argv` for each call; `env` names variables that it gets although they hold secrets."""

    reads_session = True

    def __init__(
        self,
        spec: ToolSpec,
        argv: Sequence[str],
        *,
        seconds: float = DEFAULT_SECONDS,
        env: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self._argv = list(argv)
        self._seconds = seconds
        self._env = frozenset(env)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Run the command to its end; a time-out, an exit code or a signal is a ToolError."""
        left = context.seconds
        seconds = self._seconds if left is None else min(self._seconds, left)
        process = self._start(context)
        self._running.add(process)
        try:
            with _ended_with_us(process):
                if self._stopped:
                    _end(process)
                return _outcome(process, json.dumps(arguments).encode(), seconds)
        finally:
            self._running.discard(process)

    def stop(self) -> None:
        """End every command of this tool that is running."""
        self._stopped = True
        for process in list(self._running):
            _end(process)

    def _start(self, context: RunContext) -> "subprocess.Popen[bytes]":
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in NAMES and (name in self._env or not is_secret_name(name))
        }
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                self._argv,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=inherited | context.environment,
                bufsize=0,  # closing such a stream never waits for whoever still writes to it
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ToolError(f"cannot run {self._argv[0]!r}: {reason}") from None


@contextmanager
def _ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End a command, and all that it started, with the block; also if clew is killed in it.

    For that a process of its own waits until we are gone: nobody else would be left to do it.
    """
    watch = ["/bin/sh", "-c", 'read -r _; kill -s KILL -- "-$1"', "sh", str(process.pid)]
    quiet = subprocess.DEVNULL
    watcher = None
    with suppress(OSError):
        watcher = subprocess.Popen(
            watch, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, env={}, start_new_session=True
        )
    try:
        yield
    finally:
        _end(process)
        if watcher is not None:
            _end(watcher)


class _Reader(threading.Thread):
    """Reads a stream to its end, and keeps no more of it than somebody will read: the first bytes,
    or the `last` ones."""

    def __init__(self, stream: IO[bytes], most: int, *, last: bool = False) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._most = most
        self._last = last
        self._ended = threading.Event()
        self.kept = bytearray()
        self.total = 0

    def run(self) -> None:
        with suppress(OSError, ValueError):
            while self._more() and (chunk := os.read(self._stream.fileno(), _CHUNK)):
                self.total += len(chunk)
                if self._last:
                    self.kept += chunk
                    del self.kept[: -self._most]
                else:
                    self.kept += chunk[: self._most - len(self.kept)]

    def _more(self) -> bool:
        """Wait for more; tell whether there is some, or may be: who wrote it has not ended."""
        waiting = select.poll()
        waiting.register(self._stream.fileno(), select.POLLIN)
        while True:
            ended = self._ended.is_set()
            if waiting.poll(0 if ended else _LOOK_MILLISECONDS):
                return True
            if ended:
                return False

    def finish(self) -> None:
        """Read what is there by now: what has left the group may hold the pipe open for ever."""
        self._ended.set()
        self.join(_DRAIN_SECONDS)


def _outcome(process: "subprocess.Popen[bytes]", data: bytes, seconds: float) -> str:
    assert process.stdin and process.stdout and process.stderr
    out = _Reader(process.stdout, LONGEST_RESULT)
    err = _Reader(process.stderr, _LONGEST_COMPLAINT, last=True)
    writer = threading.Thread(target=_feed, args=(process.stdin, data), daemon=True)
    for thread in (out, err, writer):
        thread.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise ToolError(f"it took longer than {seconds:g} s and was ended") from None
    for reader in (out, err):
        reader.finish()
    if code:
        how = f"was ended by {_signal(-code)}" if code < 0 else f"failed with exit code {code}"
        said = (
            ending(bytes(err.kept), err.total).strip()
            or beginning(bytes(out.kept), out.total).strip()
        )
        raise ToolError(f"it {how}" + (f": {said}" if said else ""))
    return beginning(bytes(out.kept), out.total).removesuffix("\n")


def _feed(stream: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    with suppress(OSError, ValueError):
        while rest:
            rest = rest[stream.write(rest) :]
    with suppress(OSError):
        stream.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command and all that it started, and have nothing left of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError):
            if stream is not None:
                stream.close()
