"""A tool that is a command: JSON on its standard input, its standard output the result.

No shell reads any word of the command, which runs where clew was called.
"""

import json
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from . import child
from .text import beginning, ending
from .tools import LONGEST_RESULT, RunContext, ToolError, ToolSpec

DEFAULT_SECONDS = 60.0
_LONGEST_COMPLAINT = 2000


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
            with child.ended_with_us(process):
                if self._stopped:
                    child.end(process)
                return _outcome(process, json.dumps(arguments).encode(), seconds)
        finally:
            self._running.discard(process)

    def stop(self) -> None:
        """End every command of this tool that is running."""
        self._stopped = True
        for process in list(self._running):
            child.end(process)

    def _start(self, context: RunContext) -> "subprocess.Popen[bytes]":
        try:
            return child.start(self._argv, context.environment, keeps=self._env)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ToolError(f"cannot run {self._argv[0]!r}: {reason}") from None


def _outcome(process: "subprocess.Popen[bytes]", data: bytes, seconds: float) -> str:
    assert process.stdin and process.stdout and process.stderr
    out = child.Reader(process.stdout, LONGEST_RESULT)
    err = child.Reader(process.stderr, _LONGEST_COMPLAINT, last=True)
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
        said = ending(bytes(err.kept), err.total).strip()
        said = said or beginning(bytes(out.kept), out.total).strip()
        raise ToolError(f"it {child.how_it_ended(code)}" + (f": {said}" if said else ""))
    return beginning(bytes(out.kept), out.total).removesuffix("\n")


def _feed(stream: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    with suppress(OSError, ValueError):
        while rest:
            rest = rest[stream.write(rest) :]
    with suppress(OSError):
        stream.close()
