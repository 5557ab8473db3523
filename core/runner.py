"""A run inside a session: intent before money, then the model and its tools, then one line.

The order of things is the promise (see `docs/file-format.md`): what is needed of the session is
read, the intent is on disk, the model is asked, the line is on disk; only then is the run
acknowledged.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

from .asking import Asking
from .attachments import enclosed_before
from .errors import Cancelled, ClewError, StoreError
from .events import Announcer, Listener
from .exchange import Exchange
from .flight import draft_of
from .inside import Outer
from .lines import RunLine
from .order import Order, plan, within_budget
from .result import RunOutput
from .run_line import intent_line
from .run_state import RunState
from .session import StateChange, always
from .stop import Stop
from .store import Flight, SessionLog
from .tools import RunContext, by_name
from .work import Begun, Outcome, Work

Shield = Callable[[], AbstractContextManager[None]]
"""Holds back whatever could stop the process while a line is written."""


def perform(
    order: Order, log: SessionLog, listener: Listener, shield: Shield = nullcontext
) -> RunOutput:
    """Run, store, and return how it ended; errors of the model are in the result, never raised.

    The caller has the session's turn, if the run needs it. Raises UsageError for tools or answers
    that do not fit, LimitReached if the session's budget is used up, StoreError if the intent could
    not be written: then nothing was sent. When the run is cancelled, its line is stored, the last
    event tells it, and Cancelled (or KeyboardInterrupt) is raised again.
    """
    planned = plan(order, log)
    order = within_budget(order, planned.tip)
    by_name(order.tools)  # or two of the same name would be found only when it has begun
    intent = intent_line(order, planned, log)
    flight = _begin(order, log, intent, shield)
    outer = _outer(order, log, flight, listener)
    state = RunState(planned.tip, order.change)
    begun = Begun(log, flight, outer, state, _context(order, log, outer.folder))
    work: Work = (order.work or Asking)(order, planned, begun)
    stop: BaseException | None = None
    try:
        outer.announcer.tell(outer.announcer.event("RunStarted"))
        outcome = work.go()
    except ClewError as error:
        outcome = Outcome("ERROR", error.exit_code, error)
    except (Cancelled, KeyboardInterrupt) as error:
        stop = error
        outcome = _cancelled(error)
    except BaseException:
        flight.stranded()
        raise
    line = work.end(intent, outcome)
    result, late = _land(log, flight, line, state.change, shield, work.unstored)
    if order.inside is not None:
        order.inside.unstored = result.store_error
        order.inside.line = result.line if result.store_error is None else None
        if order.inside.is_around(outcome.error):
            order.inside.limit = outcome.error
    outer.announcer.end(result.line)
    ended_by = stop or late
    if ended_by is not None:
        raise ended_by
    return result


def _context(order: Order, log: SessionLog, folder: str | None) -> RunContext:
    return RunContext(
        run_id=order.run_id,
        session_id=log.session_id,
        user_id=log.user_id,
        session_state={},
        metadata=order.metadata,
        environment=order.environment,
        folder=folder,
    )


def _outer(order: Order, log: SessionLog, flight: Flight, listener: Listener) -> Outer:
    """Return what this run is to those inside it."""
    around = order.outer
    announcer = Announcer(
        listener,
        order.run_id,
        log.session_id,
        order.kind,
        order.name,
        around.announcer if around else None,
        order.inside.step if order.inside else None,
    )
    exchange = Exchange(
        order.model,
        order.limits,
        flight,
        announcer,
        order.fallbacks,
        order.budget,
        around.exchange if around else None,
        Stop(around.stop if around else None),
    )
    exchange.started -= order.spent
    root = around.root_run_id if around else order.run_id
    before = enclosed_before(order.resumes, log) if order.resumes else ()
    return Outer(
        order.run_id,
        root,
        order.whole_input,
        exchange,
        announcer,
        exchange.stop,
        files=(*before, *order.files),
        folder=around.folder if around else order.folder,
    )


def _land(
    log: SessionLog,
    flight: Flight,
    line: RunLine,
    change: StateChange,
    shield: Shield,
    unstored: ClewError | None,
) -> tuple[RunOutput, Cancelled | None]:
    """Store the run; return also the stop that was held back meanwhile, if there was one.

    One inside it may be `unstored`: whoever stores that one stores this one after it.
    """
    if unstored is not None:
        flight.stranded()
        return _not_stored(line, unstored), None
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


def _begin(order: Order, log: SessionLog, intent: RunLine, shield: Shield) -> Flight:
    """Record that the run begins; a stop that was held back meanwhile takes the record away.

    What it was given to send is kept first: it may be gone when the run is gone on with.
    """
    for content in filter(None, (file.content for file in order.files)):
        log.attach(content)
    begun: list[Flight] = []
    try:
        with shield():
            begun.append(log.begin(intent))
    except BaseException:
        for flight in begun:
            flight.landed()
        raise
    if order.process is not None:
        begun[0].note({"process": order.process})
    return begun[0]


def _cancelled(error: BaseException) -> Outcome:
    signum = error.signum if isinstance(error, Cancelled) else 2
    record = ClewError("the run was stopped", hint="`clew continue --resume` goes on with it")
    record.kind, record.exit_code, record.retryable = "cancelled", 128 + signum, True
    return Outcome("CANCELLED", record.exit_code, record)


def _store(log: SessionLog, line: RunLine, change: StateChange) -> RunOutput:
    draft = draft_of(line)._replace(change=change)
    try:
        stored = log.append(always(draft))
    except ClewError as error:
        if isinstance(error, StoreError):
            return _not_stored(line, error)
        failure = StoreError(f"the run could not be stored: {error.message}", hint=error.hint)
        return _not_stored(line, failure)
    return RunOutput(cast(RunLine, stored))


def _not_stored(line: RunLine, failure: ClewError) -> RunOutput:
    if line["status"] != "CANCELLED":  # that one ends by its signal
        line = {**line, "exit_code": failure.exit_code}
    return RunOutput(line, store_error=failure)
