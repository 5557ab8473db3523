"""From the definition of an agent or a team to the agent or team itself."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from .agent import Agent
from .answer_schema import checked_schema, parse_schema
from .defined import Defined
from .definition_file import DefinitionFile, Place
from .definition_models import AgentDefinition, TeamDefinition
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

Find = Callable[[str, str], str]
"""Returns the file of the definition of this name, of this kind; raises NotFoundError if there is
none."""


class Examine(Protocol):
    """Returns what a file defines, or else all of its errors."""

    def __call__(
        self, path: str, find: Find, above: tuple[str, ...]
    ) -> tuple[Defined | None, list[ClewError]]:
        """`above` are the files of what it is in."""


@dataclass(frozen=True)
class Source:
    """The file that a definition is in, and how what it names elsewhere is read.

    `above` are the files that are being read, this one last; `kind` is what this one defines.
    """

    file: DefinitionFile
    kind: str
    find: Find
    examine: Examine
    above: tuple[str, ...]


def load_defined(name: str, kind: str = "agent") -> Defined:
    """Return what `module:object` names.

    Raises NotFoundError if there is none, UsageError if it is something else or cannot be loaded.
    """
    try:
        found = load_object(name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise NotFoundError(f"there is no {kind} {name!r}: {error}") from None
    except Exception as error:
        raise UsageError(f"cannot load the {kind} {name!r}: {error}") from None
    if not isinstance(found, Defined):
        kinds = "an Agent, a Team or a Workflow"
        raise UsageError(f"{name!r} is a {type(found).__name__}, not {kinds}")
    return found if found.name else replace(found, name=name.rpartition(":")[2])


class Building:
    """Makes what a definition defines, and gathers what is wrong on the way."""

    def __init__(self, source: Source, place: Place = ()) -> None:
        self._source = source
        self._file = source.file
        self._place = place
        self._folder = os.path.dirname(os.path.abspath(source.file.path))
        self._found: list[tuple[int, ClewError]] = []

    @property
    def errors(self) -> list[ClewError]:
        """What is wrong, in the order of the lines."""
        return [error for _, error in sorted(self._found, key=lambda found: found[0])]

    def agent(self, definition: AgentDefinition) -> Agent | None:
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

    def _member(self, number: int, member: str | AgentDefinition) -> Agent | None:
        place = ("members", number)
        if isinstance(member, str):
            return self._try(place, lambda: _agent_only(self.named(member, "agent")))
        if member.name is None:
            self._wrong(place, "a member that is defined here needs a name")
            return None
        inner = Building(self._source, (*self._place, *place))
        made = inner.agent(member)
        self._found += inner._found
        return made

    def named(self, name: str, kind: str) -> Defined:
        """Return what is defined elsewhere: by its name, file or Python object."""
        if NAME.fullmatch(name):
            return load_defined(name, kind)
        is_path = "/" in name or name.endswith((".yaml", ".yml"))
        path = os.path.join(self._folder, name) if is_path else self._source.find(name, kind)
        real, above = os.path.realpath(path), self._source.above
        if real in above:
            files = (*above[above.index(real) :], real)
            shown = " → ".join(os.path.basename(each) for each in files)
            raise UsageError(f"a {self._source.kind} cannot be in itself: {shown}")
        found, errors = self._source.examine(path, self._source.find, above)
        if found is None:
            raise errors[0]
        return found

    def _agent(self, definition: AgentDefinition) -> Agent:
        params = self._params(definition.params)
        return Agent(
            model=definition.model,
            fallback_models=tuple(definition.fallback_models),
            name=self._name(definition.name),
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

    def _name(self, given: str | None) -> str | None:
        if given is None and self._place:
            return None  # a step's, which gives it one
        name = given or os.path.splitext(os.path.basename(self._file.path))[0]
        return self._try(("name",), lambda: agent_name(storable(name)))

    def _params(self, given: dict[str, Any]) -> dict[str, Any]:
        for name, default in given.items():
            if not _PARAM.fullmatch(name):
                self._wrong(("params", name), "not a name that {…} can hold: letters, digits, _")
            if isinstance(default, dict | list):
                self._wrong(("params", name), "a default is a text, a number, true, false or null")
        return self._json("params", given)

    def _try(self, place: tuple[Any, ...], make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ClewError as error:
            self._wrong(place, error.message, error.hint)
            return None

    def _wrong(self, place: tuple[Any, ...], message: str, hint: str | None = None) -> None:
        whole = (*self._place, *place)
        error = self._file.error(whole, message, hint)
        self._found.append((self._file.line(whole), error))

    def _json(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        return self._try((key,), lambda: storable_value(value, "it")) or {}

    def _option(self, name: str, value: Any) -> Any:
        return self._try(("options", name), lambda: checked(name, value, repr(name)))

    def _schema(
        self, key: str, given: str | dict[str, Any] | None, place: Place = ()
    ) -> dict[str, Any] | None:
        if given is None:
            return None
        if isinstance(given, dict):
            return self._try((*place, key), lambda: checked_schema(given))
        text = f"@{os.path.join(self._folder, given[1:])}" if given.startswith("@") else given
        return self._try((*place, key), lambda: parse_schema(text, "schema"))

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


def _agent_only(found: Defined) -> Agent:
    if not isinstance(found, Agent):
        raise UsageError(f"{found.name!r} is a {found.kind}: a member is an agent or a team")
    return found
