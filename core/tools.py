"""What a tool is to a run: a name, the shape of its arguments, and something that can be called."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .errors import UsageError
from .lines import State
from .messages import ToolCall
from .records import FieldRecord, Requirement, RequirementKind
from .state import parse_json, storable_value

if TYPE_CHECKING:
    from concurrent.futures import Future

DELEGATE = "delegate_task_to_member"
CREATE_TASK = "create_task"
EXECUTE_TASK = "execute_task"
UPDATE_TASK = "update_task_status"
LIST_TASKS = "list_tasks"
RUN_WORKFLOW = "run_workflow"
RUN_TOOLS = frozenset({DELEGATE, EXECUTE_TASK})
"""Those whose calls are runs of members."""
TEAM_TOOLS = frozenset({DELEGATE, CREATE_TASK, EXECUTE_TASK, UPDATE_TASK, LIST_TASKS})
"""By which a team's leader has its members work: nobody else knows them."""

LONGEST_RESULT = 64 * 1024
"""Bytes of a tool's result that the model gets to read."""


class ToolError(Exception):
    """A tool could not be called, or failed: the model is told, and the run goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass
class RunContext:
    """What a tool may know of its run. It may change `session_state`; the run keeps that.

    `environment` is what names the session to commands; `seconds` is how long the tool may take at
    most, None for as long as it wants. `folder` is where commands run, if that is not where clew
    was called: where the run was called that this one goes on with.
    """

    run_id: str
    session_id: str
    user_id: str
    session_state: State
    metadata: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    folder: str | None = None


@dataclass(frozen=True)
class ToolSpec:
    """What the model and the user are told of a tool; `parameters` is a JSON Schema.

    Before a call of it, one that `requires_confirmation` needs a yes; `requires_user_input` are the
    arguments that the user gives and the model does not; an `external` one is never called: its
    result comes from outside.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    requires_confirmation: bool = False
    requires_user_input: tuple[str, ...] = ()
    external: bool = False
    command: str | None = None
    """The command line that will run, for whoever has to say yes."""
    source: str | None = None
    """What `--tool` was given, so that `continue` can find it again."""
    is_foreign: bool = False
    """Whether its words are somebody else's: `{key}` in them stands for nothing."""


@runtime_checkable
class Tool(Protocol):
    """A tool that a run may call."""

    @property
    def spec(self) -> ToolSpec:
        """What is known of it."""

    @property
    def reads_session(self) -> bool:
        """Whether it looks at the stored session, and may change it, while it runs."""

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Do the work and return what the model is to read; raise ToolError if it failed.

        It is called in a thread of its own, and may be called again while it runs.
        """

    def stop(self) -> None:
        """End what is running now: nobody waits for it any more."""


@runtime_checkable
class RunTool(Tool, Protocol):
    """A tool whose call makes a run inside the run that calls it: see `inside.RunInside`."""

    @property
    def makes_runs(self) -> bool:
        """It does."""


@runtime_checkable
class AnswerTool(Tool, Protocol):
    """A tool whose result may be all that the run that calls it has to say."""

    @property
    def is_answer(self) -> bool:
        """Whether it is: then the model is not asked once more."""


@runtime_checkable
class BookTool(Tool, Protocol):
    """A tool that only keeps the books of its run: see `inside.RunBooks`.

    Its calls are made one after the other, before the others of an answer, and none counts for the
    limit of tool calls.
    """

    @property
    def keeps_books(self) -> bool:
        """It does."""


@runtime_checkable
class ToolServer(Protocol):
    """Something that has to run before its tools are known."""

    @property
    def place(self) -> str:
        """Its command or address."""

    def start(self, environment: Mapping[str, str]) -> "RunningToolServer":
        """Start it for a run, and return at once; raise ConfigError if that cannot be done here.

        `environment` is what names the run to commands.
        """


class RunningToolServer(Protocol):
    """A server that was started, and is ended by whoever started it."""

    @property
    def ready(self) -> "Future[Any]":
        """Done when the tools are known, or it is known that there will be none."""

    def tools(self) -> Sequence[Tool]:
        """Return its tools, when it is ready; raise ToolServerDown or UsageError."""

    def leave(self, *, hurry: bool) -> None:
        """Ask for its end, and wait for nothing; in a `hurry` it gets no time to end by itself."""

    def join(self) -> None:
        """Wait for its end."""


def for_model(spec: ToolSpec) -> dict[str, Any]:
    """Return a tool as it is offered to a model: what the user gives is left out."""
    parameters = dict(spec.parameters)
    hidden = set(spec.requires_user_input)
    if hidden:
        shown = parameters.get("properties", {}).items()
        parameters["properties"] = {name: value for name, value in shown if name not in hidden}
        parameters["required"] = [n for n in parameters.get("required", []) if n not in hidden]
    function = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of a call; raise ToolError if the model wrote none that can be read."""
    text = call["function"]["arguments"]
    try:
        arguments = json.loads(text or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"the arguments are not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise ToolError("the arguments are not a JSON object")
    try:
        return dict(storable_value(arguments, "the arguments"))
    except UsageError as error:
        raise ToolError(error.message) from None


def readable_arguments(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of a call, whether they fit or not; none where they cannot be read."""
    try:
        return arguments_of(call)
    except ToolError:
        return {}


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def check_arguments(parameters: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Raise ToolError, saying where and why, if the arguments do not fit the JSON Schema."""
    from jsonschema.validators import validator_for

    validator = validator_for(parameters)(parameters)
    try:
        misfit = next(validator.iter_errors(arguments), None)
    except RecursionError:
        raise ToolError("the arguments cannot be checked: their schema has no end") from None
    if misfit is not None:
        raise ToolError(f"the arguments do not fit at {misfit.json_path}: {misfit.message}")


def field_value(spec: ToolSpec, name: str, given: Any) -> Any:
    """Return a value that somebody gave for an argument: text, or what its JSON means.

    Text stays text where the tool's schema takes it. Raises ToolError if neither fits.
    """
    shape = {key: value for key, value in spec.parameters.items() if key != "required"}
    candidates = [given]
    if isinstance(given, str):
        with suppress(UsageError):
            candidates.append(parse_json(given, name))
    for value in candidates[:-1]:
        with suppress(ToolError):
            check_arguments(shape, {name: value})
            return value
    check_arguments(shape, {name: candidates[-1]})
    return candidates[-1]


def requirement_of(
    spec: ToolSpec, tool_call_id: str, arguments: dict[str, Any]
) -> Requirement | None:
    """Return what a call of the tool needs of somebody; None if it can be made at once."""
    kind = _kind(spec)
    if kind is None:
        return None
    return {
        "tool_call_id": tool_call_id,
        "kind": kind,
        "tool_name": spec.name,
        "tool_args": arguments,
        "fields": [_field(spec, name) for name in spec.requires_user_input],
        "decision": None,
        "note": None,
        "by": None,
        "at": None,
    }


def _kind(spec: ToolSpec) -> RequirementKind | None:
    if spec.external:
        return "result"
    if spec.requires_user_input:
        return "input"
    return "confirm" if spec.requires_confirmation else None


def _field(spec: ToolSpec, name: str) -> FieldRecord:
    described = spec.parameters.get("properties", {}).get(name, {})
    return {"name": name, "description": described.get("description"), "value": None}


def by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    """Return the tools by their names; raise UsageError if two have the same."""
    named: dict[str, Tool] = {}
    for tool in tools:
        if tool.spec.name in named:
            raise UsageError(
                f"two tools are called {tool.spec.name!r}",
                hint="`name` renames a tool; of an MCP server, it goes before its tools' names",
            )
        named[tool.spec.name] = tool
    return named
