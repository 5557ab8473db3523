"""What the keys of a workflow's definition are, and what they mean."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from .definition_models import AgentDefinition, Scalar, Schema, TeamDefinition, either
from .definition_parts import CONFIG, Count, Text
from .limit_definitions import BudgetDefinition, LimitsDefinition, Time
from .steps import MOST_ITERATIONS, OnError, OnReject, OnTimeout

_Command = Annotated[list[str], Field(min_length=1)]
_Steps = Annotated[list["StepEntry"], Field(min_length=1)]
_Agent = Annotated[
    Annotated[Text, Tag("text")] | Annotated[AgentDefinition, Tag("agent")],
    Discriminator(lambda value: "agent" if isinstance(value, Mapping) else "text"),
]
_Team = Annotated[
    Annotated[Text, Tag("text")] | Annotated[TeamDefinition, Tag("team")],
    Discriminator(lambda value: "team" if isinstance(value, Mapping) else "text"),
]
_Workflow = Annotated[
    Annotated[Text, Tag("text")] | Annotated["WorkflowDefinition", Tag("workflow")],
    Discriminator(lambda value: "workflow" if isinstance(value, Mapping) else "text"),
]
_Stop = Annotated[
    Annotated[Text, Tag("text")] | Annotated[bool, Tag("other")], Discriminator(either(bool))
]


class CommandDefinition(BaseModel):
    """A command that decides: no shell reads any word of it."""

    model_config = CONFIG

    run: _Command
    """The command and its arguments. The content is on its standard input."""
    timeout: Time | None = None
    """How long it may take: seconds, or 90s, 10m, 2h."""
    env: list[Text] = []
    """Variables that it gets although they hold secrets."""


class FunctionDefinition(BaseModel):
    """A Python function that decides."""

    model_config = CONFIG

    python: Text
    """The function, as module:function; it takes a StepInput."""


def _decider(value: Any) -> str:
    if isinstance(value, Mapping):
        return "function" if "python" in value else "command"
    return "other" if isinstance(value, bool) else "text"


_Test = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[bool, Tag("other")]
    | Annotated[CommandDefinition, Tag("command")]
    | Annotated[FunctionDefinition, Tag("function")],
    Discriminator(_decider),
]
_Route = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[CommandDefinition, Tag("command")]
    | Annotated[FunctionDefinition, Tag("function")],
    Discriminator(lambda value: "text" if isinstance(value, bool) else _decider(value)),
]


class PartDefinition(BaseModel):
    """What every part of a workflow may say."""

    model_config = CONFIG

    name: Annotated[str, Field(min_length=1)] | None = None
    """What it is called, in records and in jq: `.steps.NAME`; otherwise after what it does. A
    number makes it unique."""
    description: str = ""
    """What it is for; for people."""


class WaitDefinition(PartDefinition):
    """What a part that may wait for somebody says of that."""

    message: Text | None = None
    """What is said to whom it waits for."""
    on_reject: OnReject = "skip"
    """What comes of a no: the part is skipped, the workflow cancelled, or, after a review, the step
    run again with what was noted."""
    answer_within: Time | None = None
    """How long the answer may take: seconds, or 90s, 10m, 2h; then `on_timeout` decides."""
    on_timeout: OnTimeout = "cancel"
    """What comes of no answer in time."""


class StepDefinition(WaitDefinition):
    """What every step may say."""

    input: Text | None = None
    """jq over {input, last, steps, session_state, params, user_input} that makes what it is given;
    otherwise that is the previous step's content."""
    on_error: OnError = "fail"
    """What comes of its failure: the workflow fails, goes on without it, or waits for somebody."""
    retries: Annotated[int, Field(ge=0)] = 0
    """How often it is tried again after an error that may pass."""
    stop: _Stop = False
    """Whether the workflow ends after it, COMPLETED: true, or jq, to which `.last` is what it has
    come to."""
    add_workflow_history: bool | None = None
    """Whether it is told the last executions; otherwise as the workflow says."""
    num_history_runs: Annotated[int, Field(ge=0)] | None = None
    """How many executions these are at most; otherwise as the workflow says."""
    requires_confirmation: bool = False
    """Whether somebody has to say yes before it runs."""
    requires_review: bool = False
    """Whether somebody has to accept, reject or edit what it has come to."""
    requires_user_input: Schema | None = None
    """What somebody has to give before it runs: JSON Schema, @FILE, module:Class, or
    'name str, age int'."""


class AgentStepDefinition(StepDefinition):
    """A step that is a run of an agent."""

    agent: _Agent
    """A name, as -a takes it, a file (looked for beside this one), module:object, or defined
    here."""


class TeamStepDefinition(StepDefinition):
    """A step that is a run of a team."""

    team: _Team
    """A name, as --team takes it, a file (looked for beside this one), module:object, or defined
    here."""


class WorkflowStepDefinition(StepDefinition):
    """A step that is a run of another workflow."""

    workflow: _Workflow
    """A name, as --workflow takes it, a file (looked for beside this one), module:object, or
    defined here."""


class CommandStepDefinition(StepDefinition):
    """A step that is a command."""

    run: _Command
    """A command and its arguments, run without a shell. What it is given is on its standard input,
    what it writes to its standard output is its content."""
    timeout: Time | None = None
    """How long it may take: seconds, or 90s, 10m, 2h; otherwise as long as the run."""
    env: list[Text] = []
    """Variables that it gets although they hold secrets."""
    json_: bool = Field(False, alias="json")
    """Whether what it writes is JSON, for later steps as `.data`."""
    files: list[Text] = []
    """Files that it leaves behind, for later steps."""


class FunctionStepDefinition(StepDefinition):
    """A step that is a Python function."""

    python: Text
    """The function, as module:function; it takes a StepInput, and a `run_context` if it has such a
    parameter."""


class GroupDefinition(PartDefinition):
    """Steps that run one after the other."""

    steps: _Steps
    """The steps, in their order."""


class ParallelDefinition(PartDefinition):
    """Steps that run at once."""

    parallel: _Steps
    """The steps; each gets the same input and the same state."""


class ConditionDefinition(PartDefinition):
    """Steps that run if something holds."""

    if_: _Test = Field(alias="if")
    """jq over {input, last, steps, session_state, params}, {run: COMMAND}, whose exit status says
    yes (0) or no (1), or {python: module:function}."""
    then: _Steps
    """The steps that run if it holds."""
    else_: _Steps | None = Field(None, alias="else")
    """The steps that run if it does not."""


class LoopDefinition(PartDefinition):
    """Steps that run again and again."""

    loop: _Steps
    """The steps of an iteration."""
    until: _Test | None = None
    """What ends it, checked after each iteration: in the forms of `if`."""
    max_iterations: Count = MOST_ITERATIONS
    """How many iterations there are at most."""
    forward: bool = False
    """Whether an iteration starts from what the one before has come to; otherwise from what the
    loop was given."""


class RouterDefinition(WaitDefinition):
    """Of some choices those that a route names."""

    router: _Route | None
    """jq that gives a name, or a list of names, {run: COMMAND} that writes names, a line each, or
    {python: module:function}; null asks somebody."""
    choices: _Steps
    """The steps to choose from, each by its name."""


_KINDS: Mapping[str, type[PartDefinition]] = {
    "agent": AgentStepDefinition,
    "team": TeamStepDefinition,
    "workflow": WorkflowStepDefinition,
    "run": CommandStepDefinition,
    "python": FunctionStepDefinition,
    "steps": GroupDefinition,
    "parallel": ParallelDefinition,
    "if": ConditionDefinition,
    "loop": LoopDefinition,
    "router": RouterDefinition,
}
STEP_KEYS = tuple(_KINDS)
"""A step has one of them: it says what the step is."""
STEP_MODELS: Mapping[str, type[BaseModel]] = {f"{key} step": m for key, m in _KINDS.items()}
"""What a step may say, by the word with which pydantic tells what it took it for."""


def _step_kind(value: Any) -> str:
    found = [key for key in STEP_KEYS if isinstance(value, Mapping) and key in value]
    return f"{found[0]} step" if len(found) == 1 else "no step"


StepEntry = Annotated[
    Annotated[AgentStepDefinition, Tag("agent step")]
    | Annotated[TeamStepDefinition, Tag("team step")]
    | Annotated[WorkflowStepDefinition, Tag("workflow step")]
    | Annotated[CommandStepDefinition, Tag("run step")]
    | Annotated[FunctionStepDefinition, Tag("python step")]
    | Annotated[GroupDefinition, Tag("steps step")]
    | Annotated[ParallelDefinition, Tag("parallel step")]
    | Annotated[ConditionDefinition, Tag("if step")]
    | Annotated[LoopDefinition, Tag("loop step")]
    | Annotated[RouterDefinition, Tag("router step")],
    Discriminator(_step_kind),
]


class WorkflowDefinition(BaseModel):
    """A workflow: steps that run one after the other, at once, on a condition, or in a loop."""

    model_config = CONFIG

    kind: Literal["workflow"] = "workflow"
    """What this file defines."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What its runs are called; otherwise the file's name."""
    description: str = ""
    """What it is for. For people, and for an agent that it has."""
    model: Text | None = None
    """The model of agents and teams in it that name none."""
    agent: _Agent | None = None
    """An agent that decides whether an input is answered from earlier executions or needs a new
    one."""
    steps: _Steps
    """What it does."""
    session_state: dict[str, Any] = {}
    """The state that a new session starts with."""
    add_workflow_history_to_steps: bool | None = None
    """Whether steps are told the session's last executions; `continue` has them told, unless this
    is false."""
    num_history_runs: Annotated[int, Field(ge=0)] = 3
    """How many executions these are at most."""
    autogenerate_session_name: bool = False
    """Whether a session without a name gets one: the description's beginning, and the time."""
    input_schema: Schema | None = None
    """What the input has to be: JSON Schema, @FILE, module:Class, or 'name str, age int'."""
    params: dict[str, Scalar] = {}
    """Names that --param gives values, with their defaults; null has to be given."""
    limits: LimitsDefinition = LimitsDefinition()
    """What a run, with all its steps, may use at most."""
    budget: BudgetDefinition = BudgetDefinition()
    """What all runs of a session together may use at most."""
    metadata: dict[str, Any] = {}
    """Metadata that is stored with each run."""
