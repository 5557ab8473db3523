"""What flows while a run goes on: deltas are never lines; the last event carries the line."""

import threading
from collections.abc import Callable
from typing import Any, Literal, NotRequired, cast

from .clock import now
from .errors import ErrorRecord
from .lines import RunLine
from .records import Decision, Status, StepRecord, ToolRecord
from .typed import TypedDict
from .usage import CallKind

EventName = Literal[
    "RunStarted",
    "ModelRequestStarted",
    "ModelRequestError",
    "FallbackModelActivated",
    "ModelContent",
    "RunContent",
    "RunIntermediateContent",
    "ModelRequestCompleted",
    "OutputRepairStarted",
    "TaskIterationStarted",
    "ToolCallStarted",
    "ToolCallCompleted",
    "ToolCallError",
    "SessionSummaryStarted",
    "SessionSummaryCompleted",
    "RunCompleted",
    "RunPaused",
    "RunCancelled",
    "RunError",
    "TeamRunStarted",
    "TeamModelRequestStarted",
    "TeamModelRequestError",
    "TeamFallbackModelActivated",
    "TeamModelContent",
    "TeamRunContent",
    "TeamRunIntermediateContent",
    "TeamModelRequestCompleted",
    "TeamOutputRepairStarted",
    "TeamTaskIterationStarted",
    "TeamToolCallStarted",
    "TeamToolCallCompleted",
    "TeamToolCallError",
    "TeamRunCompleted",
    "TeamRunPaused",
    "TeamRunCancelled",
    "TeamRunError",
    "WorkflowStarted",
    "WorkflowRunContent",
    "WorkflowCompleted",
    "WorkflowPaused",
    "WorkflowCancelled",
    "WorkflowError",
    "StepStarted",
    "StepCompleted",
    "StepSkipped",
    "StepPaused",
    "StepCancelled",
    "StepError",
    "StepsExecutionStarted",
    "StepsExecutionCompleted",
    "ParallelExecutionStarted",
    "ParallelExecutionCompleted",
    "ConditionExecutionStarted",
    "ConditionExecutionCompleted",
    "LoopExecutionStarted",
    "LoopExecutionCompleted",
    "LoopIterationStarted",
    "LoopIterationCompleted",
    "RouterExecutionStarted",
    "RouterExecutionCompleted",
]


class Event(TypedDict):
    """One event of a run. The words are Agno's."""

    event: EventName
    run_id: str | None
    parent_run_id: str | None
    session_id: str | None
    created_at: str
    name: NotRequired[str | None]
    """Of a run inside another: whose it is."""
    step_id: NotRequired[str]
    """Of a run that a workflow's step makes: the id of that step."""
    model: NotRequired[str]
    kind: NotRequired[CallKind]
    """What a request to the model is for."""
    content: NotRequired[str]
    attempt: NotRequired[int]
    retry_in: NotRequired[float]
    """Seconds until the request is sent again."""
    finish_reason: NotRequired[str | None]
    metrics: NotRequired[dict[str, Any]]
    error: NotRequired[ErrorRecord]
    tool: NotRequired[ToolRecord]
    decision: NotRequired[Decision]
    """Why a tool call ended without the tool: `rejected` or `supplied`."""
    iteration: NotRequired[int]
    """The how-manieth time it is that a team's leader goes on with its tasks."""
    max_iterations: NotRequired[int]
    open_tasks: NotRequired[list[str]]
    """What is left to be done, in words."""
    step: NotRequired[StepRecord]
    """Of a workflow: the part that begins or has ended."""
    run: NotRequired[RunLine]
    """The whole line; only the last event has it."""


Listener = Callable[[Event], None]

ENDS: dict[Status, EventName] = {
    "COMPLETED": "RunCompleted",
    "PAUSED": "RunPaused",
    "CANCELLED": "RunCancelled",
    "ERROR": "RunError",
}


_OF_WORKFLOWS: dict[str, EventName] = {
    "RunStarted": "WorkflowStarted",
    "RunContent": "WorkflowRunContent",
    "RunCompleted": "WorkflowCompleted",
    "RunPaused": "WorkflowPaused",
    "RunCancelled": "WorkflowCancelled",
    "RunError": "WorkflowError",
}
_OF_AGENTS = {theirs: word for word, theirs in _OF_WORKFLOWS.items()}


def word_of(event: Event) -> str:
    """Return what an event tells, as an agent's tells it: a team's and a workflow's differ."""
    return _OF_AGENTS.get(event["event"]) or event["event"].removeprefix("Team")


def _called(name: EventName, kind: str) -> EventName:
    if kind == "workflow":
        return _OF_WORKFLOWS.get(name, name)
    return cast(EventName, f"Team{name}") if kind == "team" else name


class LastKept:
    """Passes events on; the end of a completed run only on `tell`, after what is made then."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._kept: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Pass an event on, or keep it."""
        if word_of(event) == "RunCompleted" and "run" in event:
            self._kept.append(event)
        else:
            self._listener(event)

    def tell(self) -> None:
        """Pass on what was kept."""
        while self._kept:
            self._listener(self._kept.pop(0))


class Announcer:
    """Tells a listener what happens in one run; of a team's run in words of its own.

    A run inside another tells the same listener, one event at a time.
    """

    def __init__(
        self,
        listener: Listener,
        run_id: str,
        session_id: str,
        kind: str = "agent",
        name: str | None = None,
        outer: "Announcer | None" = None,
        step: str | None = None,
    ) -> None:
        self._listener: Listener = listener if outer is None else outer._listener
        self._lock: threading.RLock = threading.RLock() if outer is None else outer._lock
        self.run_id = run_id
        self._session_id = session_id
        self._kind = kind
        self._name = name
        self._outer = outer
        self._step = step

    def event(self, name: EventName) -> Event:
        """Return a bare event of this run."""
        event: Event = {
            "event": _called(name, self._kind),
            "run_id": self.run_id,
            "parent_run_id": self._outer.run_id if self._outer else None,
            "session_id": self._session_id,
            "created_at": now(),
        }
        if self._outer is not None:
            event["name"] = self._name
        if self._step is not None:
            event["step_id"] = self._step
        return event

    def tell(self, event: Event) -> None:
        """Pass an event on."""
        with self._lock:
            self._listener(event)

    def again(self, line: RunLine) -> None:
        """Tell of a run that was made before: its start, its whole answer, its end."""
        self.tell(self.event("RunStarted"))
        if line["content"]:
            self.tell({**self.event("RunContent"), "content": line["content"]})
        self.end(line)

    def end(self, line: RunLine) -> None:
        """Tell how the run ended: its whole line; of one inside another what it used, and why it
        failed."""
        event = self.event(ENDS[line["status"]])
        if self._outer is None:
            self.tell({**event, "run": line})
            return
        event["metrics"] = dict(line["total_metrics"])
        if line["error"] is not None:
            event["error"] = line["error"]
        self.tell(event)
