"""Servers of tools that speak MCP: what is known of one before it runs, and its tools when it does.

The SDK is loaded when the first one is started, not before.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .answer_schema import checked_schema
from .errors import ConfigError, ToolServerDown, UsageError
from .state import storable_value
from .text import shorten, storable
from .tools import RunContext, Tool, ToolSpec

if TYPE_CHECKING:
    from .mcp_client import Address, Connection, Listed

CALL_SECONDS = 60.0
START_SECONDS = 30.0
ALL_OTHERS = "*"
_LONGEST_NAME = 64
_LONGEST_TITLE = 200
_DIGEST = 8
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class McpTool:
    """A tool of a server, by the server's name for it, and what a call of it needs."""

    name: str
    requires_confirmation: bool = False
    requires_user_input: tuple[str, ...] = ()


@dataclass(frozen=True)
class McpServer:
    """A server of tools: a command that speaks MCP on its standard streams, or a URL.

    Of its `tools` only those are offered, in which `*` stands for all others; None is all of them.
    A `prefix` goes before their names, for where two servers have a tool of one name. The command
    gets clew's environment without secrets, but those that `keeps` names, and `env`; `${NAME}` in
    `headers` stands for a variable. `seconds` is how long a call may take, `start_seconds` the
    start. What a server says of its tools beside name, description and schema is not trusted.
    """

    command: Sequence[str] = ()
    url: str | None = None
    tools: Sequence[str | McpTool] | None = None
    prefix: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    keeps: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = CALL_SECONDS
    start_seconds: float = START_SECONDS
    requires_confirmation: bool = False
    source: str | None = None

    def __post_init__(self) -> None:
        if bool(self.command) == (self.url is not None):
            raise UsageError("an MCP server has one of command and url")
        if self.url is not None and not re.match(r"https?://[^/\s]", self.url):
            raise UsageError(f"{self.url!r} is no address: it begins with http:// or https://")

    @property
    def title(self) -> str:
        """What people know it by, in short."""
        return shorten(self.place, _LONGEST_TITLE)

    @property
    def place(self) -> str:
        """Its command, or its URL without what may be secret in it."""
        if self.url is None:
            return storable(shlex.join(self.command))
        return storable(re.sub(r"[?#].*", "", re.sub(r"//[^/@]*@", "//", self.url)))

    def start(self, environment: Mapping[str, str]) -> "RunningServer":
        """Start it, and return at once. Raises ConfigError where the SDK is not installed."""
        try:
            from .mcp_client import Connection
        except ImportError as error:
            if error.name is not None and error.name.startswith("clew"):
                raise
            raise ConfigError(
                "tools of MCP servers need the MCP SDK, which is not installed",
                hint="install clew with its extra: pipx install 'clew[mcp]'",
            ) from None
        connection = Connection(self._address(environment), self.start_seconds)
        connection.start()
        return RunningServer(self, connection)

    def _address(self, environment: Mapping[str, str]) -> "Address":
        from .mcp_client import Address

        headers = {name: _filled(name, text) for name, text in self.headers.items()}
        return Address(
            self.title,
            argv=tuple(self.command),
            environment={**self.env, **environment},
            keeps=tuple(self.keeps),
            url=self.url,
            headers=headers,
        )


class RunningServer:
    """A server that was started; `ready` is done when its tools are known, or it has failed."""

    def __init__(self, server: McpServer, connection: "Connection") -> None:
        self._server = server
        self._connection = connection

    @property
    def ready(self) -> "Future[Any]":
        """Done when it can be asked for its tools."""
        return self._connection.ready

    def tools(self) -> list[Tool]:
        """Return its tools, when it is ready.

        Raises ToolServerDown if it could not be started or has none, UsageError if it has not what
        was asked for.
        """
        listed = {tool.name: tool for tool in self._connection.ready.result()}
        if not listed:
            raise ToolServerDown(f"the MCP server {self._server.title!r} offers no tools")
        return [
            _RemoteTool(_spec(self._server, tool, wish), tool.name, self._server, self._connection)
            for tool, wish in _chosen(self._server, listed)
        ]

    def leave(self, *, hurry: bool) -> None:
        """Ask for its end, and wait for nothing; in a `hurry` it gets no time to end by itself."""
        self._connection.leave(hurry=hurry)

    def join(self) -> None:
        """Wait for its end."""
        self._connection.join()


class _RemoteTool:
    """A tool of a server that runs."""

    def __init__(
        self, spec: ToolSpec, name: str, server: McpServer, connection: "Connection"
    ) -> None:
        self.spec = spec
        self.reads_session = server.url is None
        self._name = name
        self._seconds = server.seconds
        self._connection = connection

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Have the server do it; an error that it reports, its end, a time-out are a ToolError."""
        left = context.seconds
        seconds = self._seconds if left is None else min(self._seconds, left)
        return self._connection.call(self._name, arguments, seconds)

    def stop(self) -> None:
        """Give up the calls that the server is at."""
        self._connection.stop_calls()


def _chosen(server: McpServer, listed: "Mapping[str, Listed]") -> "list[tuple[Listed, McpTool]]":
    """Return the tools that are offered, each with what was said of it."""
    entries = (ALL_OTHERS,) if server.tools is None else server.tools
    wishes = [McpTool(entry) if isinstance(entry, str) else entry for entry in entries]
    named = {wish.name: wish for wish in wishes}
    for name in named:
        if name != ALL_OTHERS and name not in listed:
            near = get_close_matches(name, listed, 1)
            known = f"did you mean {near[0]}?" if near else f"it has: {', '.join(listed)}"
            raise UsageError(
                f"the MCP server {server.title!r} has no tool {storable(name)!r}",
                hint=storable(known),
            )
    rest = named.get(ALL_OTHERS)
    found = [(tool, named.get(name, rest)) for name, tool in listed.items()]
    return [(tool, wish) for tool, wish in found if wish is not None]


def _spec(server: McpServer, tool: "Listed", wish: McpTool) -> ToolSpec:
    whole = f"{server.prefix}_{tool.name}" if server.prefix else tool.name
    return ToolSpec(
        _sound(whole),
        storable(tool.description or ""),
        parameters=_schema(server, tool),
        requires_confirmation=server.requires_confirmation or wish.requires_confirmation,
        requires_user_input=tuple(wish.requires_user_input),
        command=f"{storable(tool.name)} of the MCP server {server.place}",
        source=server.source,
        is_foreign=True,
    )


def _sound(name: str) -> str:
    """Return a name that every model takes; two that were different stay so where they are cut."""
    sound = re.sub(r"[^A-Za-z0-9_-]", "_", name) or "_"
    if len(sound) <= _LONGEST_NAME:
        return sound
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    return f"{sound[: _LONGEST_NAME - _DIGEST - 1]}_{digest}"


def _schema(server: McpServer, tool: "Listed") -> dict[str, Any]:
    try:
        schema: dict[str, Any] = storable_value(dict(tool.input_schema), "it")
        checked_schema(schema)
        if schema.setdefault("type", "object") != "object":
            raise UsageError("the schema has to be of type object")
    except UsageError as error:
        raise UsageError(
            f"the MCP server {server.title!r}: the arguments of {tool.name!r}: {error.message}",
            hint="leave the tool out: `tools` of the server names those that are wanted",
        ) from None
    return schema


def _filled(header: str, text: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise ConfigError(f"the header {header!r} needs ${match[1]}, which is not set")
        return found

    return _VARIABLE.sub(value, text)
