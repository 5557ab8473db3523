"""A run inside a session: intent before money, then the model, then one line.

The order of things is the promise (see `docs/file-format.md`): what is needed of the session is
read, the intent is on disk, the model is asked, the line is on disk; only then is the run
acknowledged.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast

from .answer_schema import instruction, parse_answer
from .attachments import Attachment, with_attachments
from .clock import now
from .errors import Cancelled, ClewError, RequestRefused, StoreError
from .events import Announcer, Listener
from .exchange import Exchange, Limits
from .flight import draft_of, interruption, without_details
from .history import History, HistoryPolicy, choose
from .lines import RunLine, Status
from .messages import Message, assistant, system, user
from .model import Model, ModelRequest
from .result import RunOutput
from .session import Draft, StateChange, Tip, always, seal, tip_after
from .store import Flight, SessionLog
from .text import storable
from .usage import run_metrics
from .version import VERSION

Shield = Callable[[], AbstractContextManager[None]]
"""Holds back whatever could stop the process while a line is written."""


@dataclass(frozen=True)
class Order:
    """Everything that a run is asked to do."""

    model: Model
    run_id: str
    input: str
    files: tuple[Attachment, ...] = ()
    system: str | None = None
    history: HistoryPolicy = HistoryPolicy()
    change: StateChange = StateChange()
    schema: dict[str, Any] | None = None
    model_options: dict[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    stream: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    resumes: RunLine | None = None


@dataclass(frozen=True)
class Plan:
    """What will be sent: the run's `own` messages, and `history` after the system message."""

    tip: Tip
    own: list[Message]
    history: History

    @property
    def messages(self) -> list[Message]:
        """The messages as they go to the model."""
        lead = [message for message in self.own if message["role"] == "system"]
        return [*lead, *self.history.messages, *self.own[len(lead) :]]


def plan(order: Order, log: SessionLog) -> Plan:
    """Return what a run would send now; reads the session, writes nothing."""
    own = _own_messages(order)
    tip = tip_after(log.last())
    turns = tip.metrics.get("turns", 0)
    return Plan(tip, own, choose(log.newest(), order.history, turns=turns, own=own))


def perform(
    order: Order, log: SessionLog, listener: Listener, shield: Shield = nullcontext
) -> RunOutput:
    """Run, store, and return how it ended; errors of the model are in the result, never raised.

    The caller has the session's turn, if the run needs it. Raises StoreError if the intent could
    not be written: then nothing was sent. When the run is cancelled, its line is stored, the last
    event tells it, and Cancelled (or KeyboardInterrupt) is raised again.
    """
    planned = plan(order, log)
    intent = _intent(order, planned, log)
    flight = _begin(log, intent, shield)
    announcer = Announcer(listener, order.run_id, log.session_id)
    exchange = Exchange(order.model, order.limits, flight, announcer)
    stop: BaseException | None = None
    try:
        announcer.tell(announcer.event("RunStarted"))
        exchange.ask(_request(order, planned))
        outcome = _outcome(order, exchange)
    except ClewError as error:
        outcome = _Outcome("ERROR", error.exit_code, error)
    except (Cancelled, KeyboardInterrupt) as error:
        stop = error
        outcome = _cancelled(error)
    except BaseException:
        flight.stranded()
        raise
    result, late = _land(log, flight, _final(intent, exchange, outcome), order.change, shield)
    announcer.end(result.line)
    ended_by = stop or late
    if ended_by is not None:
        raise ended_by
    return result


def _land(
    log: SessionLog, flight: Flight, line: RunLine, change: StateChange, shield: Shield
) -> tuple[RunOutput, Cancelled | None]:
    """Store the run; return also the stop that was held back meanwhile, if there was one."""
    landed: list[RunOutput] = []
    try:
        with shield():
            landed.append(_store(log, line, change))
            if landed[0].store_error is None:
                flight.landed()
            else:
                flight.stranded()
    except Cancelled as late:
        if not landed:
            raise
        return landed[0], late
    return landed[0], None


def _begin(log: SessionLog, intent: RunLine, shield: Shield) -> Flight:
    """Record that the run begins; a stop that was held back meanwhile takes the record away."""
    begun: list[Flight] = []
    try:
        with shield():
            begun.append(log.begin(intent))
    except BaseException:
        for flight in begun:
            flight.landed()
        raise
    return begun[0]


@dataclass(frozen=True)
class _Outcome:
    status: Status
    exit_code: int
    error: ClewError | None = None
    data: Any = None


def _outcome(order: Order, exchange: Exchange) -> _Outcome:
    reply = exchange.reply
    if reply is not None and reply.finish_reason == "content_filter":
        raise RequestRefused("the provider's content filter stopped the answer")
    code = 5 if reply is not None and reply.finish_reason == "length" else 0
    if order.schema is None:
        return _Outcome("COMPLETED", code)
    return _Outcome("COMPLETED", code, data=parse_answer(exchange.content, order.schema))


def _cancelled(error: BaseException) -> _Outcome:
    signum = error.signum if isinstance(error, Cancelled) else 2
    record = ClewError("the run was stopped", hint="`clew continue --resume` goes on with it")
    record.kind, record.exit_code, record.retryable = "cancelled", 128 + signum, True
    return _Outcome("CANCELLED", record.exit_code, record)


def _store(log: SessionLog, line: RunLine, change: StateChange) -> RunOutput:
    draft = replace(draft_of(line), change=change)
    try:
        stored = log.append(always(draft))
    except ClewError as error:
        failure = error
        if not isinstance(error, StoreError):
            failure = StoreError(f"the run could not be stored: {error.message}", hint=error.hint)
        return RunOutput(line, store_error=failure)
    return RunOutput(cast(RunLine, stored))


def _own_messages(order: Order) -> list[Message]:
    lead = [order.system] if order.system else []
    if order.schema is not None and not order.model.takes_schema:
        lead.append(instruction(order.schema))
    messages = [system("\n\n".join(lead))] if lead else []
    if order.resumes is None:
        return [*messages, user(with_attachments(order.input, order.files))]
    earlier = [message for message in order.resumes["messages"] if message["role"] != "system"]
    if not order.input and not order.files:
        while earlier and earlier[-1]["role"] == "assistant":
            earlier.pop()  # the answer that broke off is asked for again
        return [*messages, *earlier]
    return [*messages, *earlier, user(with_attachments(order.input, order.files))]


def _request(order: Order, planned: Plan) -> ModelRequest:
    return ModelRequest(
        messages=planned.messages,
        input=_input(order),
        options=order.model_options,
        max_tokens=order.limits.answer_tokens,
        schema=order.schema if order.model.takes_schema else None,
        stream=order.stream,
    )


def _input(order: Order) -> str:
    if order.resumes is None:
        return order.input
    return "\n\n".join(text for text in (order.resumes["input"], order.input) if text)


def _intent(order: Order, planned: Plan, log: SessionLog) -> RunLine:
    """Return the line of a run that begins, as it is stored if nothing ever comes."""
    error = interruption()
    metrics = run_metrics([], 0.0, None)
    files = [item.record for item in order.files]
    fields: dict[str, Any] = {
        "run_id": order.run_id,
        "parent_run_id": None,
        "root_run_id": None,
        "resumes": order.resumes["run_id"] if order.resumes else None,
        "forked_from": None,
        "kind": "agent",
        "name": order.name,
        "status": "INTERRUPTED",
        "exit_code": error.exit_code,
        "started_at": now(),
        "input": _input(order),
        "files": [*(order.resumes["files"] if order.resumes else []), *files],
        "content": "",
        "data": None,
        "finish_reason": None,
        "model": order.model.name,
        "resolved_model": None,
        "messages": planned.own,
        "history": planned.history.record,
        "tools": [],
        "requirements": [],
        "steps": [],
        "error": error.record(),
        "metrics": metrics,
        "total_metrics": without_details(metrics),
        "state_patch": order.change.patch_for(planned.tip.state),
        "metadata": order.metadata,
        "options": _asked(order),
        "cwd": _cwd(),
        "clew_version": VERSION,
    }
    draft = Draft("run", fields, order.change)
    who = {"session_id": log.session_id, "user_id": log.user_id}
    line = seal(draft, planned.tip, created_at=now(), **who)
    line["seq"] = None
    return cast(RunLine, line)


def _asked(order: Order) -> dict[str, Any]:
    """Return how the run was asked for: what is null or empty is left out."""
    asked = {
        "system": order.system,
        "option": order.model_options,
        "schema": order.schema,
        "history_runs": order.history.runs,
        "history_messages": order.history.messages,
        "history_tokens": order.history.tokens,
        "max_tokens": order.limits.answer_tokens,
        "max_total_tokens": order.limits.tokens,
        "max_cost": order.limits.cost,
        "timeout": order.limits.seconds,
        "retries": order.limits.retries,
    }
    return {"history": order.history.on} | {k: v for k, v in asked.items() if v not in (None, {})}


def _final(intent: RunLine, exchange: Exchange, outcome: _Outcome) -> RunLine:
    """Return the line of a run that ended so."""
    metrics = run_metrics(exchange.calls, exchange.seconds, exchange.first_token)
    reply, content = exchange.reply, exchange.content
    line = intent.copy()
    line["status"] = outcome.status
    line["exit_code"] = outcome.exit_code
    line["error"] = outcome.error.record() if outcome.error else None
    line["content"] = content
    line["data"] = outcome.data
    line["finish_reason"] = reply.finish_reason if reply else None
    line["resolved_model"] = reply.resolved_model if reply else None
    answered = content or outcome.status == "COMPLETED"
    line["messages"] = [*intent["messages"], *([assistant(content)] if answered else [])]
    line["metrics"] = metrics
    line["total_metrics"] = without_details(metrics)
    return line


def _cwd() -> str | None:
    try:
        return storable(os.getcwd())
    except OSError:
        return None
