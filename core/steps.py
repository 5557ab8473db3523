"""What a workflow is made of: steps, and what holds steps and says whether, how often and in which
order they run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .attachments import Attachment, Source
from .defined import Defined
from .lines import State

OnError = Literal["fail", "skip", "pause"]
OnReject = Literal["skip", "cancel", "retry"]
OnTimeout = Literal["skip", "cancel", "approve"]

MOST_ITERATIONS = 3


@dataclass(frozen=True)
class StepOutput:
    """What a step has come to: its text, that as an object where it is one, and files.

    With `stop` the workflow ends, COMPLETED, with this.
    """

    content: str = ""
    data: Any = None
    files: Sequence[Source] = ()
    stop: bool = False


@dataclass(frozen=True)
class StepInput:
    """What a function that is a step, a condition or a route gets to know.

    `input` is the workflow's own; `content` is what this step is given: the previous step's
    content, or what its `input` says. `last` is the previous step's result, `steps` are those of
    all earlier steps by name, each with `name`, `status`, `content`, `data`, `files`, `error`.
    `user_input` is what somebody gave for this step, `files` what the previous step left. The
    function may change `session_state`; the run keeps that.
    """

    input: str
    content: str
    last: Mapping[str, Any] | None
    steps: Mapping[str, Mapping[str, Any]]
    session_state: State
    params: Mapping[str, Any] = field(default_factory=dict)
    user_input: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Attachment] = ()

    def content_of(self, name: str) -> str | None:
        """Return what an earlier step said; None if there is none of that name."""
        found = self.steps.get(name)
        return None if found is None else str(found["content"])


StepFunction = Callable[..., Any]
"""Takes a StepInput, and, if it has a parameter `run_context`, a RunContext; returns a text, a
StepOutput, None, or anything that JSON can hold."""


@dataclass(frozen=True)
class Command:
    """A command that is a step, a condition or a route: no shell reads any word of it.

    It gets the content on its standard input, and what it writes to its standard output, without
    the last newline, is its content; with `json` that is JSON, and the step's data. `files` are
    what it leaves behind for later steps. `seconds` is how long it may take, None as long as the
    run; `env` names variables that it gets although they hold secrets.
    """

    argv: Sequence[str]
    seconds: float | None = None
    env: Sequence[str] = ()
    json: bool = False
    files: Sequence[str] = ()


Test = bool | str | Command | StepFunction
"""Says yes or no: a jq expression over `{input, last, steps, session_state, params}`, a command's
exit status (0 is yes, 1 is no), or a function."""

Route = str | Command | StepFunction
"""Says which choices are taken, by name or a list of names: a jq expression, what a command writes
(a name a line), or a function."""


@dataclass(frozen=True)
class Pause:
    """When a step waits for somebody.

    `confirmation` is asked for before it runs, `review` of what it has come to; `user_input` is a
    JSON Schema of values that somebody gives before it runs: they are in the step's input. Who says
    no has the step skipped, the workflow cancelled, or, after a review, the step run again with
    what was noted. `seconds` is how long the answer may take; then `on_timeout` decides.
    """

    confirmation: bool = False
    review: bool = False
    user_input: Mapping[str, Any] | None = None
    message: str | None = None
    on_reject: OnReject = "skip"
    seconds: float | None = None
    on_timeout: OnTimeout = "cancel"


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What every part of a workflow has.

    Names are unique in a workflow: a number is put after one that is not, and a part without a name
    is called after what it does.
    """

    name: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Step(_Named):
    """One thing to do: a run of an agent, a team or a workflow, a command, or a Python function.

    It is given the previous step's content, or what the jq expression `input` makes of
    `{input, last, steps, session_state, params}`. When it fails, after `retries` more attempts
    where the error is one that may pass, `on_error` says whether the workflow fails, goes on
    without it (`skip`: with what it was given), or waits for somebody. `stop` ends the workflow
    after it, COMPLETED with its content: always, or where a jq expression is true.
    `add_workflow_history` and `num_history_runs` say otherwise than the workflow whether the last
    executions are told.
    """

    does: Defined | Command | StepFunction
    input: str | None = field(default=None, kw_only=True)
    on_error: OnError = field(default="fail", kw_only=True)
    retries: int = field(default=0, kw_only=True)
    stop: bool | str = field(default=False, kw_only=True)
    add_workflow_history: bool | None = field(default=None, kw_only=True)
    num_history_runs: int | None = field(default=None, kw_only=True)
    pause: Pause = field(default=Pause(), kw_only=True)


@dataclass(frozen=True)
class _Holding(_Named):
    """What every part has that holds others: what stands for a step in them is made one."""

    def __post_init__(self) -> None:
        for name in ("steps", "then", "else_", "choices"):
            held = getattr(self, name, None)
            if isinstance(held, Sequence) and not isinstance(held, str):
                object.__setattr__(self, name, tuple(map(part, held)))


@dataclass(frozen=True)
class Steps(_Holding):
    """Steps that run one after the other."""

    steps: Sequence["Node"]


@dataclass(frozen=True)
class Parallel(_Holding):
    """Steps that run at once, each from the same input and the same state.

    The content is that of all, in the order in which they stand here: `## NAME`, the content, a
    blank line. What they change in the state is merged in that order.
    """

    steps: Sequence["Node"]


@dataclass(frozen=True)
class Condition(_Holding):
    """Steps that run if something holds, and others, if there are any, if it does not."""

    if_: Test
    then: Sequence["Node"]
    else_: Sequence["Node"] = ()


@dataclass(frozen=True)
class Loop(_Holding):
    """Steps that run again and again, `until` something holds or they ran `max_iterations` times.

    Each iteration starts from what the loop was given; with `forward` from what the one before has
    come to. The content is the last iteration's.
    """

    steps: Sequence["Node"]
    until: Test | None = field(default=None, kw_only=True)
    max_iterations: int = field(default=MOST_ITERATIONS, kw_only=True)
    forward: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Router(_Holding):
    """Of some choices those that the route names, one after the other.

    Without a route somebody is asked to choose.
    """

    route: Route | None
    choices: Sequence["Node"]
    pause: Pause = field(default=Pause(), kw_only=True)


Node = Step | Steps | Parallel | Condition | Loop | Router
KINDS: dict[type, str] = {
    Steps: "steps",
    Parallel: "parallel",
    Condition: "condition",
    Loop: "loop",
    Router: "router",
}


def part(given: Any) -> Any:
    """Return a part of a workflow: where an agent, a team, a workflow or a function stands for a
    step, that step."""
    return Step(given) if isinstance(given, Defined) or callable(given) else given


def kind_of(node: Node) -> str:
    """Return what a part of a workflow is, in one word, as its record tells it."""
    if not isinstance(node, Step):
        return KINDS[type(node)]
    if isinstance(node.does, Command):
        return "command"
    return node.does.kind if isinstance(node.does, Defined) else "function"


def inside(node: Node) -> tuple[Sequence[Node], ...]:
    """Return the parts that a part holds, in the groups in which it runs them."""
    match node:
        case Steps() | Loop():
            return (node.steps,)
        case Parallel():
            return (node.steps,)
        case Condition():
            return (node.then, node.else_)
        case Router():
            return (node.choices,)
        case Step():
            return ()
