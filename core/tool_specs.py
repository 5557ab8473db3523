"""From what `--tool` is given, or a definition says, to tools."""

import json
import os
import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from . import loading
from .answer_schema import checked_schema
from .command_tool import DEFAULT_SECONDS, CommandTool
from .definition_parts import CONFIG
from .errors import UsageError
from .mcp_definition import McpDefinition, McpToolDefinition
from .mcp_server import CALL_SECONDS
from .python_tool import PythonTool, load_function
from .tools import Tool, ToolError, ToolServer, ToolSpec

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ToolDefinition(BaseModel):
    """A tool: a command (`run`), a Python function (`python`), one that runs elsewhere; or all the
    tools of a server (`mcp`)."""

    model_config = CONFIG

    name: str | None = None
    """What the model calls it; otherwise the command's or the function's name. Of a server, what
    its tools' names begin with."""
    description: str = ""
    """What it does and when to use it, for the model."""
    run: Annotated[list[str], Field(min_length=1)] | None = None
    """A command and its arguments, run without a shell. The model's arguments are JSON on stdin."""
    python: str | None = None
    """A function, as module:function."""
    mcp: McpDefinition | None = None
    """A server whose tools are offered."""
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments; of a Python function, its signature is."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds that a call may take."""
    env: list[str] = []
    """Variables that a command, or an MCP server, gets although they hold secrets."""
    requires_confirmation: bool = False
    """Whether somebody has to say yes before each call."""
    requires_user_input: list[str] = []
    """Arguments that the user gives, unseen by the model."""
    external: bool = False
    """Whether the result comes from outside: the run pauses, `continue --result` goes on."""

    def tool(self, where: str, source: str | None) -> Tool | ToolServer:
        """Return the tool, or the server; raise UsageError if its parts do not go together."""
        kinds = [self.run is not None, self.python is not None, self.mcp is not None, self.external]
        if sum(kinds) != 1:
            raise UsageError(f"{where}: a tool has one of run, python, mcp, external: true")
        if self.mcp is not None:
            return self._server(self.mcp, where, source)
        if self.python is not None:
            if self.parameters is not None or self.env or self.timeout is not None:
                raise UsageError(f"{where}: parameters, env and timeout are for commands")
            function = load_function(self.python)
            return PythonTool(function, self._spec(where, self.python.rpartition(":")[2], source))
        if self.run is None:
            return ExternalTool(self._spec(where, None, source))
        spec = self._spec(where, os.path.basename(self.run[0]), source)
        return CommandTool(spec, self.run, seconds=self.timeout or DEFAULT_SECONDS, env=self.env)

    def _server(self, mcp: McpDefinition, where: str, source: str | None) -> ToolServer:
        if self.description or self.parameters is not None:
            raise UsageError(f"{where}: an MCP server describes its tools itself")
        if self.requires_user_input:
            raise UsageError(
                f"{where}: requires_user_input belongs to one tool of an MCP server",
                hint="mcp.tools: [{name: TOOL, requires_user_input: [ARGUMENT]}]",
            )
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise self._bad_name(where, self.name)
        try:
            return mcp.server(
                prefix=self.name,
                keeps=self.env,
                seconds=self.timeout or CALL_SECONDS,
                requires_confirmation=self.requires_confirmation,
                source=source,
            )
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}") from None

    @staticmethod
    def _bad_name(where: str, name: str) -> UsageError:
        hint = "a name has 1 to 64 of A-Z a-z 0-9 _ -"
        return UsageError(f"{where}: {name!r} is not a tool's name", hint=hint)

    def _spec(self, where: str, otherwise: str | None, source: str | None) -> ToolSpec:
        name = self.name or re.sub(r"[^A-Za-z0-9_-]", "_", otherwise or "")
        if not _NAME.fullmatch(name):
            raise self._bad_name(where, name)
        spec = ToolSpec(
            name,
            self.description,
            requires_confirmation=self.requires_confirmation,
            requires_user_input=tuple(self.requires_user_input),
            external=self.external,
            command=shlex.join(self.run) if self.run else None,
            source=source,
        )
        if self.parameters is None:
            return spec
        return ToolSpec(**{**vars(spec), "parameters": _checked(self.parameters, where)})


class ExternalTool:
    """A tool that clew never calls: its result is given with `continue --result`."""

    reads_session = False

    def __init__(self, spec: ToolSpec) -> None:
        self.spec = spec

    def call(self, arguments: dict[str, Any], context: Any) -> str:
        """Fail: a run pauses before, unless the tool became external while it was paused."""
        raise ToolError("this tool is called elsewhere; give its result with --result")

    def stop(self) -> None:
        """Nothing runs."""


def tools_of(
    source: str, where: str = "--tool", *, recorded: bool = True
) -> list[Tool | ToolServer]:
    """Return the tools that `--tool SOURCE` means; raise UsageError if it means none.

    It is `module:function`, a JSON object that defines a tool, or a YAML or JSON file with one or
    a list of them. Where it is `recorded`, a continued session finds the tools again.
    """
    kept = source if recorded else None
    if source.lstrip().startswith("{"):
        return [define(_parsed(source, where), where=where, source=kept)]
    if loading.NAME.fullmatch(source) and not os.path.exists(source):
        spec = ToolSpec(source.rpartition(":")[2].rpartition(".")[2], source=kept)
        return [PythonTool(load_function(source), spec)]
    path = os.path.abspath(source)
    found = _parsed(_text(path, source, where), path)
    items = found if isinstance(found, list) else [found]
    return [define(item, where=path, source=path if recorded else None) for item in items]


def define(fields: Any, *, where: str, source: str | None = None) -> Tool | ToolServer:
    """Return the tool or server that these fields define; raise UsageError that names the key."""
    try:
        definition = ToolDefinition.model_validate(fields)
    except ValidationError as error:
        errors = error.errors()
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        key = ".".join(map(str, first["loc"])) or "a tool"
        if first["type"] == "extra_forbidden":
            raise UsageError(
                f"{where}: {key}: there is no such key", hint=near(first["loc"])
            ) from None
        raise UsageError(f"{where}: {key}: {first['msg']}") from None
    return definition.tool(where, source)


def near(place: tuple[Any, ...]) -> str:
    """Return a hint for a wrong key at this place of a tool's definition: what it may have been."""
    return near_key(place, _model_at(place).model_fields)


def near_key(place: tuple[Any, ...], known: Iterable[str]) -> str:
    """Return a hint for a wrong key at this place, where only these are known."""
    found = get_close_matches(str(place[-1]), list(known), 1)
    return f"did you mean {found[0]}?" if found else f"the keys are: {', '.join(known)}"


def _model_at(place: tuple[Any, ...]) -> type[BaseModel]:
    if "mcp" not in place[:-1]:
        return ToolDefinition
    within = place[place.index("mcp") : -1]
    return McpToolDefinition if "tools" in within else McpDefinition


def _checked(schema: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        checked_schema(schema)
    except UsageError as error:
        raise UsageError(f"{where}: parameters: {error.message}") from None
    if schema.get("type") != "object":
        raise UsageError(f"{where}: parameters: the schema has to be of type object")
    return schema


def _text(path: str, source: str, where: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(
            f"{where} {source!r}: {reason}",
            hint="name a file with a definition, module:function, or write the definition as JSON",
        ) from None


def _parsed(text: str, where: str) -> Any:
    import yaml

    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise UsageError(f"{where}{place}: not YAML: {problem}") from None
