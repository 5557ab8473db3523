"""What a definition says of an MCP server."""

from typing import Annotated

from pydantic import BaseModel, Discriminator, Field, Tag

from .definition_parts import CONFIG, Text
from .mcp_server import START_SECONDS, McpServer, McpTool


class McpToolDefinition(BaseModel):
    """A tool of a server, and what a call of it needs."""

    model_config = CONFIG

    name: Text
    """What the server calls it; * stands for all that are not named."""
    requires_confirmation: bool = False
    """Whether somebody has to say yes before each call."""
    requires_user_input: list[str] = []
    """Arguments that the user gives, unseen by the model."""


def _kind(value: object) -> str:
    return "other" if isinstance(value, dict) else "text"


_Entry = Annotated[
    Annotated[Text, Tag("text")] | Annotated[McpToolDefinition, Tag("other")],
    Discriminator(_kind),
]


class McpDefinition(BaseModel):
    """A server of tools that speaks MCP: a command to start, or a URL."""

    model_config = CONFIG

    command: Annotated[list[str], Field(min_length=1)] | None = None
    """A command and its arguments, run without a shell; it speaks MCP on its standard streams."""
    url: Text | None = None
    """Where a server is that speaks MCP over HTTP."""
    env: dict[str, str] = {}
    """Variables for the command."""
    headers: dict[str, str] = {}
    """HTTP headers for the URL; ${NAME} stands for a variable of the environment."""
    tools: Annotated[list[_Entry], Field(min_length=1)] | None = None
    """The tools that are offered, by the server's names; otherwise all."""
    start_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = START_SECONDS
    """Seconds that it may take until its tools are known."""

    def server(
        self,
        *,
        prefix: str | None,
        keeps: list[str],
        seconds: float,
        requires_confirmation: bool,
        source: str | None,
    ) -> McpServer:
        """Return the server; raise UsageError if its parts do not go together."""
        return McpServer(
            command=self.command or (),
            url=self.url,
            tools=None if self.tools is None else [_wish(entry) for entry in self.tools],
            prefix=prefix,
            env=self.env,
            keeps=keeps,
            headers=self.headers,
            seconds=seconds,
            start_seconds=self.start_timeout,
            requires_confirmation=requires_confirmation,
            source=source,
        )


def _wish(entry: str | McpToolDefinition) -> McpTool:
    if isinstance(entry, str):
        return McpTool(entry)
    return McpTool(entry.name, entry.requires_confirmation, tuple(entry.requires_user_input))
