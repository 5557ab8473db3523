"""Agents that are defined in a file, or by a Python object."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from .agent import Agent
from .answer_schema import checked_schema, parse_schema
from .definition_file import DefinitionFile, read_file
from .definition_models import Definition, TeamDefinition, near_of, validated
from .errors import ClewError, NotFoundError, UsageError
from .ids import agent_name
from .loading import NAME, load_object
from .model_options import checked
from .state import storable_value, without_nulls
from .team import Team
from .text import storable
from .tool_specs import ToolDefinition, tools_of
from .tools import Tool, ToolServer, by_name

T = TypeVar("T")
_PARAM = re.compile(r"[A-Za-z_]\w*")
_VALUE = "Value error, "


Find = Callable[[str], str]
"""Returns the file of the definition of this name; raises NotFoundError if there is none."""


def beside(path: str) -> Find:
    """Return what finds definitions in the folder of this one."""
    folder = os.path.dirname(path)
    return lambda name: os.path.join(folder, f"{name}.yaml")


def load_file(path: str, find: Find | None = None) -> Agent:
    """Return the agent, or the team, that a file defines; `find` finds members by their names.

    Raises NotFoundError if there is no such file, UsageError, with the first of its errors and how
    many more there are, if it defines none.
    """
    agent, errors = examine(path, find)
    if agent is not None:
        return agent
    if len(errors) > 1 and isinstance(errors[0], UsageError):
        more = f"{len(errors) - 1} more: clew agents validate {path}"
        hint = f"{errors[0].hint}; {more}" if errors[0].hint else more
        raise UsageError(errors[0].message, hint=hint)
    raise errors[0]


def examine(
    path: str, find: Find | None = None, above: tuple[str, ...] = ()
) -> tuple[Agent | None, list[ClewError]]:
    """Return the agent or team that a file defines, or else all of its errors.

    `above` are the files of the teams that it is in.
    """
    try:
        file = read_file(path)
    except ClewError as error:
        return None, [error]
    try:
        definition = validated(file.data)
    except ValidationError as error:
        return None, list(_errors(file, error))
    building = _Building(file, find or beside(path), (*above, os.path.realpath(path)))
    agent = building.made(definition)
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
            yield file.error(place, "there is no such key", near_of(place))
        elif each["type"] == "invalid_key":
            yield file.error(place, "a key has to be a text; put it in quotes")
        elif each["type"] == "missing":
            yield file.error(place, f"{place[-1]} is missing")
        elif each["type"] == "too_short" and place[-1] == "members":
            yield file.error(place, "a team needs members")
        elif place[-1] == "kind":
            yield file.error(place, "should be 'agent' or 'team'")
        else:
            message = message.replace("dictionary", "mapping")
            yield file.error(place, message.removeprefix("Input "))


class _Building:
    """Makes what a definition defines, and gathers what is wrong on the way.

    `above` are the files that are being read, this one last; `place` is where the definition stands
    in it.
    """

    def __init__(
        self,
        file: DefinitionFile,
        find: Find,
        above: tuple[str, ...],
        place: tuple[str | int, ...] = (),
    ) -> None:
        self._file = file
        self._find = find
        self._above = above
        self._place = place
        self._folder = os.path.dirname(os.path.abspath(file.path))
        self.errors: list[ClewError] = []

    def made(self, definition: Definition) -> Agent | None:
        """Return the agent or team; where there are `errors` it is worth nothing."""
        agent = self._agent(definition)
        if not isinstance(definition, TeamDefinition):
            return agent
        members = [self._member(number, each) for number, each in enumerate(definition.members)]
        found = [member for member in members if member is not None]
        if self.errors:
            return None
        return self._try(
            ("members",),
            lambda: Team(
                **{each.name: getattr(agent, each.name) for each in fields(agent)},
                members=found,
                mode=definition.mode,
                add_team_history_to_members=definition.add_team_history_to_members,
                num_team_history_runs=definition.num_team_history_runs,
                share_member_interactions=definition.share_member_interactions,
                max_iterations=definition.max_iterations,
            ),
        )

    def _member(self, number: int, member: str | Definition) -> Agent | None:
        place = ("members", number)
        if isinstance(member, str):
            return self._try(place, lambda: self._named(member))
        if member.name is None:
            self._wrong(place, "a member that is defined here needs a name")
            return None
        inner = _Building(self._file, self._find, self._above, (*self._place, *place))
        made = inner.made(member)
        self.errors += inner.errors
        return made

    def _named(self, name: str) -> Agent:
        """Return a member that is defined elsewhere: by its name, file or Python object."""
        if NAME.fullmatch(name):
            return load_agent_object(name)
        is_path = "/" in name or name.endswith((".yaml", ".yml"))
        path = os.path.join(self._folder, name) if is_path else self._find(name)
        real = os.path.realpath(path)
        if real in self._above:
            files = (*self._above[self._above.index(real) :], real)
            shown = " → ".join(os.path.basename(each) for each in files)
            raise UsageError(f"a team cannot be in itself: {shown}")
        agent, errors = examine(path, self._find, self._above)
        if agent is None:
            raise errors[0]
        return agent

    def _agent(self, definition: Definition) -> Agent:
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
            name=self._name(definition.name or os.path.splitext(path)[0]),
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

    def _name(self, given: str) -> str | None:
        return self._try(("name",), lambda: agent_name(storable(given)))

    def _try(self, place: tuple[Any, ...], make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ClewError as error:
            place = (*self._place, *place)
            self.errors.append(self._file.error(place, error.message, error.hint))
            return None

    def _wrong(self, place: tuple[Any, ...], message: str) -> None:
        self.errors.append(self._file.error((*self._place, *place), message))

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

    def _tools(self, definition: Definition) -> list[Tool | ToolServer]:
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
