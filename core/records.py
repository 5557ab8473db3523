"""What the line of a run holds beside its messages: records of calls, of pauses, of runs and steps
inside it."""

from typing import Any, Literal, NotRequired, get_args

from .errors import ErrorRecord
from .messages import FileRecord
from .typed import TypedDict
from .usage import Totals

Status = Literal["COMPLETED", "PAUSED", "CANCELLED", "ERROR", "INTERRUPTED"]
STATUSES: tuple[Status, ...] = get_args(Status)
Kind = Literal["agent", "team", "workflow"]


class ToolRecord(TypedDict):
    """A call of a tool that has ended."""

    tool_call_id: str
    tool_name: str
    tool_args: dict[str, Any]
    """As they were used, or, of a call that could not be made, as the model wrote them; empty where
    it wrote none that can be read."""
    result: str
    """What the model got to read."""
    tool_call_error: bool
    duration: float
    """Seconds."""
    child_run_id: NotRequired[str]
    """The run that this call made: of a member of the team."""
    unended: NotRequired[bool]
    """True where that run had not ended when this one did, or not even begun: who goes on with this
    one, goes on with that one."""


class FieldRecord(TypedDict):
    """A value that somebody has to give."""

    name: str
    description: str | None
    value: Any


RequirementKind = Literal["confirm", "input", "result", "review"]
Decision = Literal["confirmed", "rejected", "answered", "supplied"]


class InnerRecord(TypedDict):
    """Which run inside this one something is about."""

    name: str
    """The member; of a member that is a team, with its own member: `team/member`."""
    run_id: str
    tool_call_id: str
    """The call, in this run, that made it."""


class MemberRecord(TypedDict):
    """A run that a member of a team made; it is a line of its own."""

    name: str | None
    kind: Kind
    run_id: str
    status: Status


class StateConflict(TypedDict):
    """A key of the state that several members, or steps, changed at once."""

    path: list[str]
    runs: NotRequired[list[str]]
    """The runs that changed it; what the last of them says holds."""
    steps: NotRequired[list[str]]
    """Of a workflow: the steps at once that changed it, by their ids; the last one's holds."""


class Requirement(TypedDict):
    """What a tool call needs of somebody before the run can go on; open while `decision` is null.

    `confirm` needs a yes or no, `input` values for `fields`, `result` the tool's result itself.
    """

    tool_call_id: str
    kind: RequirementKind
    tool_name: str
    tool_args: dict[str, Any]
    fields: list[FieldRecord]
    decision: Decision | None
    note: str | None
    by: str | None
    """The user who decided."""
    at: str | None
    step: NotRequired[str]
    """Of a workflow's step: its id; `tool_name` is its name then."""
    content: NotRequired[str]
    """Of a review: what the step has come to; of a choice: what it is made about."""
    message: NotRequired[str]
    """Of a workflow's step: what to ask."""
    expires_at: NotRequired[str]
    """Until when it can be settled; then `on_timeout` decides: skip, cancel or approve."""
    on_timeout: NotRequired[str]
    inside: NotRequired[InnerRecord]
    """The run of the member whose tool call it is; not there where it is this run's own."""


StepStatus = Literal[
    "COMPLETED", "SKIPPED", "PAUSED", "CANCELLED", "ERROR", "INTERRUPTED", "RUNNING"
]
"""RUNNING stands in events only."""


class MovedRecord(TypedDict):
    """Where the older iterations of a long loop are: JSON lines, beside the session, oldest first;
    each such file begins with the `MovedRecord` of the one before, or null."""

    count: int
    """How many iterations are in it and in those before."""
    sha256: str


class StepRecord(TypedDict):
    """A part of a workflow that began: a step, or what holds steps."""

    id: str
    """Where it stands: the names from the outside in, of a loop also the iteration: `loop/2/x`."""
    name: str
    kind: str
    """agent, team, workflow, command, function; steps, parallel, condition, loop, router; of each
    iteration of a loop: iteration."""
    status: StepStatus
    input: str
    content: str
    data: Any
    """The content as an object, where it is one."""
    files: list[FileRecord]
    """What it hands on beside its content."""
    run_id: str | None
    """The run that it made, a line of its own; the last, where it took several attempts."""
    attempts: int
    error: ErrorRecord | None
    """Why it failed, also where the workflow went on without it."""
    started_at: str
    duration: float
    """Seconds."""
    metrics: Totals | None
    """What its runs used; null where it made none."""
    steps: list["StepRecord"]
    chosen: NotRequired[list[str]]
    """Which of its parts a condition (then, else) or a router takes."""
    confirmed: NotRequired[bool]
    """True where somebody has said yes to it."""
    user_input: NotRequired[dict[str, Any]]
    """What somebody gave for it."""
    under_review: NotRequired[bool]
    """True where it has run, and somebody has to look over what it has come to."""
    stop: NotRequired[bool]
    """True where the workflow ended after it."""
    iterations: NotRequired[int]
    """How often a loop has run its steps."""
    moved: NotRequired[MovedRecord]


class ForkRecord(TypedDict):
    """Where a copied run comes from."""

    session_id: str
    run_id: str
