"""An MCP server that clew starts: its process, and its messages, a line of JSON each.

The SDK has a transport of its own for this. It keeps a line of any length, gives the process an
environment of its own choice, and leaves it behind when clew is killed.
"""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from . import child
from .text import redact, showable

LONGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes of a message from a server; a longer one ends the connection."""
_LONGEST_COMPLAINT = 2000
_LONGEST_WORDS = 300
_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_STEP_SECONDS = 0.01

_In = MemoryObjectSendStream[SessionMessage | Exception]
_Out = MemoryObjectReceiveStream[SessionMessage]


class Heard:
    """What a server said beside its messages."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.status = 200
        self._noise = b""
        self._stderr: child.Reader | None = None

    def listen(self, process: "subprocess.Popen[bytes]") -> None:
        """Read standard error from now on, so that the server is never held up by it."""
        assert process.stderr is not None
        self._stderr = child.Reader(process.stderr, _LONGEST_COMPLAINT, last=True)
        self._stderr.start()

    def settle(self) -> None:
        """Wait for what is there by now."""
        if self._stderr is not None:
            self._stderr.finish()

    def strange(self, line: bytes) -> None:
        """Keep a line that is no message: servers print where they should not."""
        self._noise = line[:_LONGEST_WORDS]

    def said(self) -> str:
        """Return its last words, as the end of a sentence: on standard error, or where messages
        belong."""
        lines = bytes(self._stderr.kept).splitlines() if self._stderr is not None else []
        words = next(filter(None, map(_one_line, reversed(lines))), "")
        noise = _one_line(self._noise)
        if noise and not words:
            return f"; it wrote what is no message: {noise!r}"
        return f": {words}" if words else ""


def _one_line(data: bytes) -> str:
    text = showable(redact(data.decode("utf-8", "replace")))
    return " ".join(text.split())[:_LONGEST_WORDS]


class ServerProcess:
    """A server's process; `heard` gets what it says beside its messages. Raises OSError."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        keeps: Collection[str],
        heard: Heard,
    ) -> None:
        self._heard = heard
        self.grace = _GRACE_SECONDS
        """Seconds that it has to end by itself, once it is told to."""
        self._ended_before: bool | None = None
        self._process = child.start(argv, environment, keeps=keeps)

    @contextmanager
    def running(self) -> Iterator[None]:
        """End it with the block, and with us: it is told by the end of its standard input."""
        with child.ended_with_us(self._process):
            self._heard.listen(self._process)
            try:
                yield
            finally:
                self._ended_before = bool(self._ended_before)
                self._part()
                self._heard.settle()

    def has_ended(self) -> bool:
        """Tell whether it has, before we ended it; one that is about to gets a moment."""
        if self._ended_before is None:
            return self._ends_within(_LOOK_SECONDS)
        return self._ended_before

    def how_it_ended(self) -> str:
        """Return its exit code or signal, in words."""
        code = child.code_of(self._process)
        return child.how_it_ended(code) if code else "ended by itself"

    def _ends_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while child.code_of(self._process) is None:
            if time.monotonic() > end:
                return False
            time.sleep(_STEP_SECONDS)
        return True

    def _part(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._ends_within(self.grace)

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """Give its messages, and take those for it, as the SDK wants them."""
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(LONGEST_MESSAGE)
        source, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        sink, flow = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), self._process.stdin
        )
        writer = asyncio.StreamWriter(sink, flow, None, loop)
        heard, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._receive, reader, heard)
                tasks.start_soon(self._send, writer, to_send, heard)
                tasks.start_soon(self._watch, heard)
                try:
                    yield received, sent
                finally:
                    tasks.cancel_scope.cancel()
        except BaseException:
            self._ended_before = self.has_ended()
            raise
        finally:
            source.close()
            sink.abort()
            for stream in (heard, received, sent, to_send):
                stream.close()

    async def _receive(self, reader: asyncio.StreamReader, into: _In) -> None:
        """Pass messages on, each as soon as the one before is taken, until there are no more."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with into:
                while line := await self._line(reader):
                    if not line.strip():
                        continue
                    try:
                        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    except ValueError:
                        self._heard.strange(line)
                        continue
                    await into.send(SessionMessage(message))

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            most = LONGEST_MESSAGE >> 20
            self._heard.fault = f"it sent a message of more than {most} MiB"
        except (asyncio.IncompleteReadError, OSError):
            pass
        return b""

    async def _send(self, writer: asyncio.StreamWriter, messages: _Out, heard: _In) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for each in messages:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                try:
                    writer.write(text.encode() + b"\n")
                    await writer.drain()
                except OSError:
                    await heard.aclose()
                    return

    async def _watch(self, heard: _In) -> None:
        """End with the process: what has left its group may hold the pipe open for ever."""
        while child.code_of(self._process) is None:
            await anyio.sleep(_LOOK_SECONDS)
        await anyio.sleep(_GRACE_SECONDS)
        await heard.aclose()
