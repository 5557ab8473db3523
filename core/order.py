"""What a run is asked to do, and what it will send."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from .agenda import Agenda
from .answer_schema import instruction
from .approvals import Decide, Settlement, pause, reject_all
from .attachments import Attachment, enclosed, prompt_with
from .chain import whole_input
from .errors import LimitReached
from .history import History, HistoryPolicy, choose, choose_of_member
from .inside import Inside, Outer, unended_inside
from .limits import Budget, Limits, TimeLimit
from .lines import HistoryRecord, RunLine, State
from .media import without
from .messages import Message, ToolCall, assistant, system
from .model import Model, ModelRequest
from .process import Process
from .records import Kind
from .session import StateChange, Tip, tip_after
from .session_summary import to_be_sent
from .settling import settles_only
from .state import merge
from .store import SessionLog
from .templates import Instructions
from .tools import Tool, ToolServer, ToolSpec, by_name, for_model
from .work import Begun, Work


@dataclass(frozen=True)
class Order:
    """Everything that a run is asked to do."""

    model: Model
    run_id: str
    input: str
    fallbacks: tuple[Model, ...] = ()
    files: tuple[Attachment, ...] = ()
    system: str | None = None
    history: HistoryPolicy = HistoryPolicy()
    change: StateChange = StateChange()
    schema: dict[str, Any] | None = None
    model_options: dict[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    budget: Budget = Budget()
    stream: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    resumes: RunLine | None = None
    tools: tuple[Tool, ...] = ()
    tool_call_limit: int | None = None
    servers: tuple[ToolServer, ...] = ()
    """Servers that have to be started before all tools are known."""
    spent: float = 0.0
    """Seconds of the run's time that starting them took."""
    decide: Decide = pause
    settled: dict[str, Settlement] = field(default_factory=dict)
    """What was decided about open calls of the run that this one goes on with."""
    environment: dict[str, str] = field(default_factory=dict)
    """What commands that are tools get, beside clew's own variables."""
    process: Process | None = None
    """Who can be told by a signal to stop the run."""
    instructions: Instructions = Instructions()
    """What the definition says; `system` is said in place of its text."""
    agent: str | None = None
    """Where the definition is: the run's line tells it, as it tells which params were given."""
    given_params: dict[str, str] = field(default_factory=dict)
    kind: Kind = "agent"
    inside: Inside | None = None
    """What the run around this one says of it."""
    opening: tuple[ToolCall, ...] = ()
    """Calls that are made before the model is asked for the first time."""
    may_call: bool = True
    """Whether the model may call tools, beside those calls."""
    agenda: Agenda | None = None
    """What has to be done before the model may answer."""
    models_inside: tuple[Model, ...] = ()
    """Models that runs inside this one may ask."""
    tools_resuming: tuple[Tool, ...] = ()
    """With these, runs inside are gone on with whose own tool the model has no more."""
    tools_inside: Mapping[str, Mapping[str, ToolSpec] | None] = field(default_factory=dict)
    """The tools of members and steps, by their names; None where only their servers know."""
    tells_history: bool = False
    """Of a workflow: whether its steps are told of earlier executions."""
    step_specs: Mapping[str, ToolSpec] = field(default_factory=dict)
    """Of a workflow: what its steps may have to be told, by their names."""
    work: "Callable[[Order, Plan, Begun], Work] | None" = None
    """What is done in place of asking the model."""

    @property
    def models(self) -> tuple[Model, ...]:
        """All the models that may answer, in the order in which they are asked."""
        return (self.model, *self.fallbacks)

    @property
    def known_tools(self) -> Mapping[str, ToolSpec] | None:
        """What of it may have to be settled: its tools, or steps; None if only servers know."""
        if self.servers:
            return None
        return {n: tool.spec for n, tool in by_name(self.tools).items()} | dict(self.step_specs)

    @property
    def time(self) -> TimeLimit:
        """How long the run may take."""
        around = self.outer.exchange.time if self.outer else None
        return TimeLimit(self.limits, self.budget, around, self.run_id)

    @property
    def folder(self) -> str | None:
        """Where the run was called that this one goes on with."""
        return self.resumes["cwd"] if self.resumes else None

    @property
    def whole_input(self) -> str:
        """The run's input; of one that goes on with another, the other's too."""
        return whole_input(self.resumes, self.input)

    @property
    def outer(self) -> Outer | None:
        """The run around this one."""
        return self.inside.outer if self.inside else None

    @property
    def to_go_on_with(self) -> dict[str, str | None]:
        """The runs inside the resumed one that are gone on with, by the calls that made them.

        None stands for one that has yet to begin.

        Who says something new has the model told that they have not ended.
        """
        return {} if self.input or self.files else unended_inside(self.resumes)


@dataclass(frozen=True)
class Plan:
    """What will be sent: the run's `own` messages, and `history` after the system message.

    `state` is the session's as the run begins, `attachments` what goes along, by sha256.
    """

    tip: Tip
    state: State
    own: list[Message]
    history: History
    attachments: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def messages(self) -> list[Message]:
        """The messages as they go to the model."""
        lead = [message for message in self.own if message["role"] == "system"]
        return [*lead, *self.history.messages, *self.own[len(lead) :]]


def within_budget(order: Order, tip: Tip) -> Order:
    """Return the order with what the session has left of its budget; raise LimitReached if nothing.

    What somebody says no to, or gives the result of, is settled all the same: that asks nobody. The
    run ends when the model would have to be told. No tool is called for a model that will not hear
    of it.
    """
    order = replace(order, budget=order.budget.after(tip.metrics))
    try:
        order.budget.refuse_spent()
    except LimitReached as error:
        if not settles_only(order.resumes, order.settled, order.decide):
            if order.resumes is not None and order.resumes["status"] == "PAUSED":
                error.hint = "without more of it, the run takes only --reject and --result"
            raise
        return order if order.decide is reject_all else replace(order, decide=pause)
    return order


def plan(order: Order, log: SessionLog) -> Plan:
    """Return what a run would send now; reads the session, writes nothing.

    Raises UsageError for an attachment that the model surely does not take.
    """
    tip = tip_after(log.last())
    if order.inside is not None:
        tip = Tip(tip.seq, order.inside.state, tip.metrics)
    state = merge(tip.state, order.change.patch_for(tip) or {})
    own = _own_messages(order, state)
    history = _history(order, log, own)
    planned = Plan(tip, state, _with_summary(own, history.summary), history)
    return _with_attachments(planned, order, log)


def _with_attachments(planned: Plan, order: Order, log: SessionLog) -> Plan:
    """Return the plan with what goes along; what is gone has a short text in its place."""
    own, history = planned.own, planned.history
    if not any("attachments" in message for message in planned.messages):
        return planned
    found = enclosed(own, history.messages, given=order.files, models=order.models, log=log)
    if found.left_out:
        record: HistoryRecord = {**history.record, "attachments_left_out": [*found.left_out]}
        own = without(own, found.left_out)
        earlier = without(history.messages, found.left_out)
        history = replace(history, messages=earlier, record=record)
    return replace(planned, own=own, history=history, attachments=found.contents)


def _history(order: Order, log: SessionLog, own: list[Message]) -> History:
    """Return the earlier turns to send; all is counted from one line, whoever writes meanwhile."""
    if order.history.of is not None:
        return choose_of_member(log.newest, order.history, own=own)
    summed_up = order.history.summary != "never"
    newest = log.newest() if order.history.on or summed_up else iter(())
    last = next(newest, None)
    tip = tip_after(last)
    lines = newest if last is None else chain([last], newest)
    summary = to_be_sent(log, tip) if summed_up else None
    return choose(lines, order.history, turns=tip.metrics["turns"], own=own, summary=summary)


def _with_summary(own: list[Message], summary: str | None) -> list[Message]:
    """Return the messages with the summary at the end of the system message."""
    if summary is None:
        return own
    if own and own[0]["role"] == "system":
        return [system(f"{own[0]['content']}\n\n{summary}"), *own[1:]]
    return [system(summary), *own]


def _own_messages(order: Order, state: State) -> list[Message]:
    lead = order.instructions.system(state, order.system)
    if order.schema is not None and not all(model.takes_schema for model in order.models):
        lead.append(instruction(order.schema))
    messages = [system("\n\n".join(lead))] if lead else []
    if order.resumes is None:
        preface = order.inside.preface if order.inside else ""
        prompt = prompt_with(f"{preface}{order.input}", order.files)
        return [*messages, prompt, *([assistant("", order.opening)] if order.opening else [])]
    again = order.to_go_on_with
    earlier = [
        message
        for message in order.resumes["messages"]
        if message["role"] != "system" and message.get("tool_call_id") not in again
    ]
    if not order.input and not order.files:
        while earlier and _broke_off(earlier[-1]):
            earlier.pop()
        return [*messages, *earlier]
    return [*messages, *earlier, prompt_with(order.input, order.files)]


def _broke_off(message: Message) -> bool:
    """Tell whether this is an answer that was not whole: it is asked for again."""
    return message["role"] == "assistant" and not message.get("tool_calls")


def first_request(order: Order, planned: Plan) -> ModelRequest:
    """Return what goes to the model first."""
    return ModelRequest(
        messages=planned.messages,
        input=order.whole_input,
        options=order.model_options,
        max_tokens=order.limits.answer_tokens,
        tools=[for_model(_filled(tool.spec, order, planned)) for tool in order.tools],
        may_call=order.may_call,
        schema=order.schema,
        stream=order.stream,
        attachments=planned.attachments,
    )


def _filled(spec: ToolSpec, order: Order, planned: Plan) -> ToolSpec:
    """Return a tool with its description filled in, if that is the definition's."""
    if spec.source is not None or spec.is_foreign:
        return spec
    description = order.instructions.fill(spec.description, planned.state)
    return replace(spec, description=description)
