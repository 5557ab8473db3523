"""MCP servers, by the official SDK: the only module that imports it.

A connection lives in a thread of its own; calls come from any other.
"""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import httpx2
from mcp import Client, Implementation
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, Tool
from pydantic import ValidationError

from .errors import ToolServerDown
from .mcp_process import LONGEST_MESSAGE, Heard, ServerProcess
from .mcp_result import as_text
from .text import capped, redact, showable, storable
from .tools import LONGEST_RESULT, ToolError
from .version import VERSION

T = TypeVar("T")
Listed: TypeAlias = Tool
"""A tool as its server lists it."""
_MOST_PAGES = 100
_LONGEST_REASON = 400
_MISFIT = re.compile(r"\d+ validation errors? for .*", re.DOTALL)
"""What the SDK adds of its own about an answer that is none."""
_CONNECT_SECONDS = 30.0
_LEAVE_SECONDS = 5.0
_MOMENT = 0.5
_HTTP_ERROR = 400
for _name in ("mcp", "client"):  # what they say would go to standard error, where nobody asked
    logging.getLogger(_name).addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Address:
    """Where a server is: a command to start, with its environment, or a URL."""

    title: str
    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    keeps: tuple[str, ...] = ()
    url: str | None = None
    headers: Mapping[str, str] | None = None


class Connection:
    """A server that runs, or is reached, from `start` to `leave`.

    `ready` gets its tools, or the ToolServerDown that says why there are none.
    """

    def __init__(self, address: Address, seconds: float) -> None:
        self.ready: Future[list[Tool]] = Future()
        self._address = address
        self._seconds = seconds
        self._heard = Heard()
        self._process: ServerProcess | None = None
        self._calls: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._left = False
        self._ended: ToolServerDown | None = None
        self._wake: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> None:
        """Begin; `ready` tells when it has."""
        self._thread.start()

    def leave(self, *, hurry: bool) -> None:
        """Ask for its end, and wait for nothing; in a `hurry` it gets no time to end by itself."""
        if hurry and self._process is not None:
            self._process.grace = 0.0
        with self._lock:
            self._left = True
            wake = self._wake
        with suppress(RuntimeError):  # it has ended by itself
            wake()

    def join(self) -> None:
        """Wait until it has ended: a server that will not is killed."""
        self._thread.join(_LEAVE_SECONDS)

    def call(self, name: str, arguments: dict[str, Any], seconds: float) -> str:
        """Return what a tool gives; raise ToolError for whatever goes wrong."""
        try:
            result: CallToolResult = self._wait(
                partial(self._client.call_tool, name, arguments), seconds
            )
        except ToolError:
            raise
        except (Exception, CancelledError) as error:
            raise ToolError(self._why_it_failed(error)) from None
        text = capped(storable(as_text(result)), LONGEST_RESULT)
        if result.is_error:
            raise ToolError(text or "the tool failed, and did not say why")
        return text

    def stop_calls(self) -> None:
        """Give up the calls that are being made: the server is told."""
        for call in list(self._calls):
            call.cancel()

    def _wait(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        with self._lock:
            if self._ended is not None:
                raise ToolError(self._ended.message)
            call = asyncio.run_coroutine_threadsafe(work(), self._loop)
            self._calls.add(call)
        try:
            return call.result(seconds)
        except TimeoutError:
            if call.done():
                raise
            raise ToolError(f"it took longer than {seconds:g} s and was given up") from None
        finally:
            call.cancel()
            self._calls.discard(call)

    def _live(self) -> None:
        failure: BaseException | None = None
        try:
            self._serve()
        except BaseException as error:
            failure = error
        with self._lock:
            self._ended = self._down(failure)
        if not self.ready.done():
            self.ready.set_exception(self._ended)
        self.stop_calls()

    def _serve(self) -> None:
        address = self._address
        if not address.argv:
            asyncio.run(self._session(_http(address, self._heard)))
            return
        process = ServerProcess(address.argv, address.environment or {}, address.keeps, self._heard)
        self._process = process
        with process.running():
            asyncio.run(self._session(process.streams()))

    async def _session(self, transport: AbstractAsyncContextManager[Any]) -> None:
        task, leaving = asyncio.current_task(), asyncio.Event()
        assert task is not None
        self._loop = asyncio.get_running_loop()
        # How a connection ends is told by `_down`; asyncio would print what a pipe that breaks in
        # the wrong moment makes one of its callbacks raise.
        self._loop.set_exception_handler(lambda _loop, _context: None)

        def wake() -> None:
            leaving.set()
            if not self.ready.done():
                task.cancel()

        with self._lock:
            self._wake = partial(self._loop.call_soon_threadsafe, wake)
            if self._left:
                return
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._seconds):
                who = Implementation(name="clew", version=VERSION)
                client = Client(transport, client_info=who, cache=None)
                self._client = await stack.enter_async_context(client)
                tools = await _listed(client)
            self.ready.set_result(tools)
            await leaving.wait()

    def _why_it_failed(self, error: BaseException) -> str:
        """Return why a call failed; if the server is gone, why that is."""
        if self._process is None:
            self._thread.join(_MOMENT)
        elif self._process.has_ended():
            self._heard.settle()
            return self._obituary()
        if self._ended is not None:
            return self._ended.message
        return "it was given up" if isinstance(error, CancelledError) else self._words(error)

    def _down(self, error: BaseException | None) -> ToolServerDown:
        """Return the error that says why there is no server, or not any more."""
        who, process = f"the MCP server {self._address.title!r}", self._process
        if isinstance(error, TimeoutError) and not self.ready.done():
            return ToolServerDown(
                f"{who} did not answer within {self._seconds:g} s{self._heard.said()}",
                hint="`start_timeout` says how long it may take",
            )
        if process is not None and process.has_ended():
            return ToolServerDown(self._obituary())
        if error is None or isinstance(error, asyncio.CancelledError):
            return ToolServerDown(f"{who} was ended")
        if isinstance(error, OSError) and self._address.argv and process is None:
            return ToolServerDown(f"{who} cannot be started: {error.strerror or error}")
        return ToolServerDown(f"{who} cannot be used: {self._words(error)}")

    def _obituary(self) -> str:
        assert self._process is not None
        how = self._process.how_it_ended()
        return f"the MCP server {self._address.title!r} {how}{self._heard.said()}"

    def _words(self, error: BaseException) -> str:
        """Return an error in one line; of several at once the first one."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = self._heard.fault or _plain(error)
        line = " ".join(showable(redact(storable(text))).split())[:_LONGEST_REASON]
        return line if self._heard.status < _HTTP_ERROR else f"{line} (HTTP {self._heard.status})"


def _plain(error: BaseException) -> str:
    if not isinstance(error, ValidationError):
        return _MISFIT.sub("it is no message of MCP", str(error)) or type(error).__name__
    first = error.errors()[0]
    return f"what it answered does not fit at {'.'.join(map(str, first['loc']))}: {first['msg']}"


async def _listed(client: Client) -> list[Tool]:
    """Return all tools, page by page."""
    page = await client.list_tools()
    tools = list(page.tools)
    for _ in range(_MOST_PAGES):
        if page.next_cursor is None:
            break
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


@asynccontextmanager
async def _http(address: Address, heard: Heard) -> AsyncIterator[Any]:
    """Reach a server by streamable HTTP. How long a call may take is not HTTP's business."""
    assert address.url is not None

    async def look(response: httpx2.Response) -> None:
        heard.status = response.status_code
        _bound(response)

    async with httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", **(address.headers or {})},
        timeout=httpx2.Timeout(_CONNECT_SECONDS, read=None),
        event_hooks={"response": [look]},
    ) as http:
        url, most = address.url, LONGEST_MESSAGE
        async with streamable_http_client(url, http_client=http, max_sse_event_size=most) as made:
            yield made


def _bound(response: httpx2.Response) -> None:
    """Bound the length of an answer; the SDK bounds the events of a stream."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A stream that fails when it becomes too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._stream:
            total += len(chunk)
            if total > LONGEST_MESSAGE:
                raise httpx2.StreamError(f"it sent more than {LONGEST_MESSAGE >> 20} MiB at once")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
