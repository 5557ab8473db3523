"""A tool that is a command: JSON on its standard input, its standard output the result.

No shell is ever involved. The command runs where clew was called, without the provider's keys and
without any of clew's open files, in a session of its own, so that it can be ended with all it
started.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from .text import is_secret_name
from .tools import RunContext, ToolError, ToolSpec

DEFAULT_SECONDS = 60.0
LONGEST_RESULT = 64 * 1024
"""Bytes of a command's output that the model gets to read."""
_LONGEST_COMPLAINT = 2000
_CLEWS = ("CLEW_SESSION", "CLEW_RUN")
_CHUNK = 1 << 16


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
        seconds = min(self._seconds, context.seconds or self._seconds)
        process = self._start(context)
        self._running.add(process)
        try:
            if self._stopped:
                _end(process)
            return _outcome(process, json.dumps(arguments).encode(), seconds)
        finally:
            _end(process)
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
            if name not in _CLEWS and (name in self._env or not is_secret_name(name))
        }
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                self._argv,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=inherited | context.environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ToolError(f"cannot run {self._argv[0]!r}: {reason}") from None


class _Reader(threading.Thread):
    """Reads a stream to its end, and keeps no more of it than somebody will read."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._most = most
        self.kept = bytearray()
        self.total = 0

    def run(self) -> None:
        with suppress(OSError, ValueError):
            while chunk := os.read(self._stream.fileno(), _CHUNK):
                self.total += len(chunk)
                self.kept += chunk[: self._most - len(self.kept)]


def _outcome(process: "subprocess.Popen[bytes]", data: bytes, seconds: float) -> str:
    assert process.stdin and process.stdout and process.stderr
    out, err = _Reader(process.stdout, LONGEST_RESULT), _Reader(process.stderr, _LONGEST_COMPLAINT)
    writer = threading.Thread(target=_feed, args=(process.stdin, data), daemon=True)
    for thread in (out, err, writer):
        thread.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise ToolError(f"it took longer than {seconds:g} s and was ended") from None
    # What it started in the background may hold the pipes open for ever.
    for thread in (out, err):
        thread.join(1.0)
    if code:
        how = f"was ended by {_signal(-code)}" if code < 0 else f"failed with exit code {code}"
        said = _text(err.kept, err.total).strip() or _text(out.kept, out.total).strip()
        raise ToolError(f"it {how}" + (f": {said}" if said else ""))
    return _text(out.kept, out.total).removesuffix("\n")


def _feed(stream: IO[bytes], data: bytes) -> None:
    with suppress(OSError):
        stream.write(data)
    with suppress(OSError):
        stream.close()


def _text(kept: bytearray, total: int) -> str:
    """Return output as text: no character is split, and what is left out is said."""
    if total <= len(kept):
        return kept.decode("utf-8", "replace")
    whole = bytes(kept)
    while whole and (whole[-1] & 0xC0) == 0x80:
        whole = whole[:-1]
    whole = whole[:-1] if whole and whole[-1] >= 0xC0 else whole
    text = whole.decode("utf-8", "replace")
    return f"{text}\n[cut: {total - len(whole)} more bytes]"


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
