"""Agents that are defined in a file, or by a Python object."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
)

from .agent import Agent
from .answer_schema import checked_schema, parse_schema
from .definition_file import DefinitionFile, read_file
from .definition_parts import CONFIG, Count
from .errors import ClewError, NotFoundError, UsageError
from .limit_definitions import BudgetDefinition, LimitsDefinition
from .loading import NAME, load_object
from .model_options import checked
from .state import storable_value, without_nulls
from .text import storable
from .tool_specs import ToolDefinition, near, near_key, tools_of
from .tools import Tool, ToolServer, by_name

T = TypeVar("T")
_PARAM = re.compile(r"[A-Za-z_]\w*")
_VALUE = "Value error, "


def _either(kind: type) -> Callable[[Any], str]:
    return lambda value: "other" if isinstance(value, kind) else "text"


_Text = Annotated[str, Field(min_length=1)]
_ToolEntry = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[ToolDefinition, Tag("other")],
    Discriminator(_either(dict)),
]
_Schema = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[dict[str, Any], Tag("other")],
    Discriminator(_either(dict)),
]
_Texts = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[str], Tag("other")],
    Discriminator(_either(list)),
]


_Scalar = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


class AgentDefinition(BaseModel):
    """An agent: a model, what it is told, what it may use, and what its sessions start with."""

    model_config = CONFIG

    kind: Literal["agent"] = "agent"
    """What this file defines."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What its runs are called; otherwise the file's name."""
    description: str = ""
    """What it is for. For people: the model is not told."""
    model: _Text | None = None
    """Any litellm model name, local/NAME, gguf:PATH or replay:FILE."""
    fallback_models: list[_Text] = []
    """Models to ask, one after the other, when the first is down or out of capacity."""
    system: str | None = None
    """The beginning of the system message. {key} stands for a param, or a key of the state."""
    instructions: _Texts | None = None
    """What the model is told to do, after `system`: a text, or a list of points. {key} as there."""
    tools: list[_ToolEntry] = []
    """Tools as --tool takes them (a file is looked for beside this one), or defined here."""
    tool_call_limit: Annotated[int, Field(ge=0)] | None = None
    """How many tool calls a run makes; of further ones the model is told that they are not made."""
    session_state: dict[str, Any] = {}
    """The state that a new session starts with."""
    add_session_state_to_context: bool = False
    """Whether the model is shown the state, in the system message."""
    enable_agentic_state: bool = False
    """Whether the model may change the state, by a tool update_session_state."""
    add_history_to_context: bool | None = None
    """Whether earlier turns are sent; otherwise `continue` does, and `run` does not."""
    num_history_runs: Annotated[int, Field(ge=0)] | None = None
    """At most so many earlier turns."""
    num_history_messages: Annotated[int, Field(ge=0)] | None = None
    """At most so many messages of earlier turns, whole turns only."""
    max_tool_calls_from_history: Annotated[int, Field(ge=0)] | None = None
    """At most so many tool calls of earlier turns, with their results; what was said stays."""
    read_chat_history: bool = False
    """Whether the model may look up earlier turns of the session, by a tool read_chat_history."""
    search_past_sessions: bool = False
    """Whether the model may look into the user's other sessions, by the tools
    search_past_sessions and read_past_session."""
    num_past_sessions_to_search: Count = 20
    """How many sessions a search looks into, those that were used last."""
    num_past_session_runs_in_search: Count = 3
    """How many turns of a session a search shows."""
    enable_session_summaries: bool = False
    """Whether a summary of the session is made when enough was said that is in none."""
    add_session_summary_to_context: bool | None = None
    """Whether the summary is sent; otherwise it is where turns are left out of the history."""
    summary_model: _Text | None = None
    """The model that makes summaries and names; otherwise the one that answers."""
    summary_tokens: Count | None = None
    """A summary is made of so many tokens or more; otherwise 4000, fewer in a small window."""
    autogenerate_session_name: bool = False
    """Whether a session without a name gets one, of at most five words."""
    input_schema: _Schema | None = None
    """What the prompt has to be: JSON Schema, @FILE, module:Class, or 'name str, age int'."""
    output_schema: _Schema | None = None
    """What the answer has to be, in the same forms."""
    params: dict[str, _Scalar] = {}
    """Names that --param gives values, with their defaults; null has to be given."""
    options: dict[str, Any] = {}
    """Model options, such as temperature."""
    limits: LimitsDefinition = LimitsDefinition()
    """What a run may use at most."""
    budget: BudgetDefinition = BudgetDefinition()
    """What all runs of a session together may use at most."""
    metadata: dict[str, Any] = {}
    """Metadata that is stored with each run."""


def definition_schema() -> dict[str, Any]:
    """Return the JSON Schema of a definition, for editors."""
    return AgentDefinition.model_json_schema()


def load_file(path: str) -> Agent:
    """Return the agent that a file defines.

    Raises NotFoundError if there is no such file, UsageError, with the first of its errors and how
    many more there are, if it defines none.
    """
    agent, errors = examine(path)
    if agent is not None:
        return agent
    if len(errors) > 1 and isinstance(errors[0], UsageError):
        more = f"{len(errors) - 1} more: clew agents validate {path}"
        hint = f"{errors[0].hint}; {more}" if errors[0].hint else more
        raise UsageError(errors[0].message, hint=hint)
    raise errors[0]


def examine(path: str) -> tuple[Agent | None, list[ClewError]]:
    """Return the agent that a file defines, or else all of its errors."""
    try:
        file = read_file(path)
    except ClewError as error:
        return None, [error]
    try:
        definition = AgentDefinition.model_validate(file.data)
    except ValidationError as error:
        return None, list(_errors(file, error))
    building = _Building(file)
    agent = building.agent(definition)
    return (None, building.errors) if building.errors else (agent, [])


def load_agent_object(name: str) -> Agent:
    """Return the Agent that `module:object` names.

    Raises NotFoundError if there is none, UsageError if it is something else or cannot be loaded.
    """
    try:
        found = load_object(name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise NotFoundError(f"there is no agent {name!r}: {error}") from None
    except Exception as error:
        raise UsageError(f"cannot load the agent {name!r}: {error}") from None
    if not isinstance(found, Agent):
        raise UsageError(f"{name!r} is a {type(found).__name__}, not an Agent")
    return found if found.name else replace(found, name=name.rpartition(":")[2])


def _errors(file: DefinitionFile, error: ValidationError) -> Iterator[UsageError]:
    for each in sorted(error.errors(), key=lambda each: file.line(each["loc"])):
        place, message = each["loc"], each["msg"].removeprefix(_VALUE)
        if each["type"] == "extra_forbidden":
            yield file.error(place, "there is no such key", _near(place))
        elif each["type"] == "invalid_key":
            yield file.error(place, "a key has to be a text; put it in quotes")
        else:
            message = message.replace("dictionary", "mapping")
            yield file.error(place, message.removeprefix("Input "))


def _near(place: tuple[Any, ...]) -> str:
    fields = AgentDefinition.model_fields
    if place[0] == "tools":
        return near(place[1:])
    if place[0] == "limits":
        fields = LimitsDefinition.model_fields
    elif place[0] == "budget":
        fields = BudgetDefinition.model_fields
    return near_key(place, fields)


class _Building:
    """Makes the agent of a definition, and gathers what is wrong on the way."""

    def __init__(self, file: DefinitionFile) -> None:
        self._file = file
        self._folder = os.path.dirname(os.path.abspath(file.path))
        self.errors: list[ClewError] = []

    def agent(self, definition: AgentDefinition) -> Agent:
        """Return the agent; where there are `errors` it is worth nothing."""
        path = os.path.basename(self._file.path)
        params = self._json("params", definition.params)
        for name, default in definition.params.items():
            if not _PARAM.fullmatch(name):
                self._wrong(("params", name), "not a name that {…} can hold: letters, digits, _")
            if isinstance(default, dict | list):
                self._wrong(("params", name), "a default is a text, a number, true, false or null")
        return Agent(
            model=definition.model,
            fallback_models=tuple(definition.fallback_models),
            name=storable(definition.name or os.path.splitext(path)[0]),
            description=storable(definition.description),
            system=definition.system,
            instructions=definition.instructions or (),
            session_state=without_nulls(self._json("session_state", definition.session_state)),
            add_session_state_to_context=definition.add_session_state_to_context,
            enable_agentic_state=definition.enable_agentic_state,
            add_history_to_context=definition.add_history_to_context,
            num_history_runs=definition.num_history_runs,
            num_history_messages=definition.num_history_messages,
            max_tool_calls_from_history=definition.max_tool_calls_from_history,
            read_chat_history=definition.read_chat_history,
            search_past_sessions=definition.search_past_sessions,
            num_past_sessions_to_search=definition.num_past_sessions_to_search,
            num_past_session_runs_in_search=definition.num_past_session_runs_in_search,
            enable_session_summaries=definition.enable_session_summaries,
            add_session_summary_to_context=definition.add_session_summary_to_context,
            summary_model=definition.summary_model,
            summary_tokens=definition.summary_tokens,
            autogenerate_session_name=definition.autogenerate_session_name,
            input_schema=self._schema("input_schema", definition.input_schema),
            output_schema=self._schema("output_schema", definition.output_schema),
            tools=self._tools(definition),
            tool_call_limit=definition.tool_call_limit,
            params=params,
            options={name: self._option(name, v) for name, v in definition.options.items()},
            limits=definition.limits.limits(),
            budget=definition.budget.budget(),
            metadata=self._json("metadata", definition.metadata),
        )

    def _try(self, place: tuple[Any, ...], make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ClewError as error:
            self.errors.append(self._file.error(place, error.message, error.hint))
            return None

    def _wrong(self, place: tuple[Any, ...], message: str) -> None:
        self.errors.append(self._file.error(place, message))

    def _json(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        return self._try((key,), lambda: storable_value(value, "it")) or {}

    def _option(self, name: str, value: Any) -> Any:
        return self._try(("options", name), lambda: checked(name, value, repr(name)))

    def _schema(self, key: str, given: str | dict[str, Any] | None) -> dict[str, Any] | None:
        if given is None:
            return None
        if isinstance(given, dict):
            return self._try((key,), lambda: checked_schema(given))
        text = f"@{os.path.join(self._folder, given[1:])}" if given.startswith("@") else given
        return self._try((key,), lambda: parse_schema(text, "schema"))

    def _tools(self, definition: AgentDefinition) -> list[Tool | ToolServer]:
        tools: list[Tool | ToolServer] = []
        for number, entry in enumerate(definition.tools):
            tools += self._try(("tools", number), partial(self._entry, entry)) or []
            if isinstance(entry, ToolDefinition):
                self._look_for(entry.run, "tools", number, "run")
                served = entry.mcp.command if entry.mcp is not None else None
                self._look_for(served, "tools", number, "mcp", "command")
        known = [tool for tool in tools if isinstance(tool, Tool)]
        self._try(("tools",), lambda: by_name(known))
        return tools

    def _look_for(self, command: list[str] | None, *place: str | int) -> None:
        if command and shutil.which(command[0]) is None:
            self._wrong(place, f"there is no program {command[0]!r} here")

    def _entry(self, entry: str | ToolDefinition) -> list[Tool | ToolServer]:
        if isinstance(entry, ToolDefinition):
            return [entry.tool("it", None)]
        is_path = not entry.lstrip().startswith("{") and not NAME.fullmatch(entry)
        source = os.path.join(self._folder, entry) if is_path else entry
        return tools_of(source, "tool", recorded=False)
