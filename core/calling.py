"""A call: the one run that it makes, goes on with, or finds already made."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol

from . import ids
from .approvals import Answers, stoppable
from .attachments import load
from .chain import Chain, follow, going_on, gone_on_with, same_question
from .clock import new_id, new_run_id
from .errors import ConflictError, UsageError
from .inside import Inside
from .invocation import Asked, Invocation
from .limits import refuse_unpriced
from .lines import RunLine
from .order import Order, Plan, plan, within_budget
from .result import RunOutput
from .runner import perform
from .session import tip_after
from .settling import fitted, refuse_unsettled, settlements
from .store import SessionLog
from .text import storable
from .tool_servers import Servers
from .tools import by_name
from .unkept import UnkeptLog


class Runnable(Protocol):
    """What can be called: an agent."""

    @property
    def kind(self) -> str:
        """Its kind, as the line of a run tells it."""

    @property
    def name(self) -> str | None:
        """Its name, if it has one."""

    def check(self, input: str, how: Invocation) -> None:
        """Raise UsageError for what it cannot be asked."""

    def order(self, asked: Asked, log: SessionLog, how: Invocation) -> Order:
        """Return what is to be done; raise NotFoundError for a model nobody has."""


def call(what: Runnable, input: str, how: Invocation) -> RunOutput:
    """Run once, whoever else makes the same call at the same time; see `Agent.run`."""
    asked, log = _asked(what, input, how)
    if how.run_id is None or how.store is None or not how.keep:
        return _in_turn(what, asked, log, how)
    with how.store.claim(how.run_id, log.session_id, how.user_id, how.waiting) as claim:
        if claim.session_id != log.session_id:
            raise ConflictError(f"run id {how.run_id!r} is taken, in session {claim.session_id}")
        if ids.is_made_here(how.run_id):
            return _once(what, asked, log, how, after=0)
        if claim.fresh:
            return _in_turn(what, asked, log, how)
        return _once(what, asked, log, how, claim.after)


def look_ahead(what: Runnable, input: str, how: Invocation) -> Plan:
    """Return what `call` would send now. Writes nothing and waits for nobody."""
    asked, log = _asked(what, input, how)
    order = what.order(asked, log, how)
    order = within_budget(order, tip_after(log.last()))
    if how.resume is not None:
        order = replace(order, resumes=going_on(log, how.resume).tip)
    return plan(order, log)


def _once(what: Runnable, asked: Asked, log: SessionLog, how: Invocation, after: int) -> RunOutput:
    """Run, unless a line after `after` is this run's: then tell, or go on with it."""
    log.recover()
    earlier = follow(log, asked.run_id, after)
    if earlier is None:
        return _in_turn(what, asked, log, how)
    same_question(
        earlier.first,
        before=gone_on_with(log, earlier.first, how.resume),
        input_text=asked.input,
        files=[item.record for item in asked.files],
        what=(what.kind, what.name, how.source, how.params or None),
    )
    if earlier.done:
        return RunOutput(earlier.tip, repeated=True)
    how = replace(how, resume=asked.run_id, answers=Answers())
    return _in_turn(what, Asked(new_run_id()), log, how)


def _in_turn(what: Runnable, asked: Asked, log: SessionLog, how: Invocation) -> RunOutput:
    # A litellm model takes seconds to be loaded: not while others wait for the turn.
    order = what.order(asked, log, how)
    refuse_unpriced((*order.models, *order.models_inside), order.limits, order.budget)
    serial = order.history.on or order.tells_history or how.serial or how.resume is not None
    turn = log.turn(order.run_id, how.waiting) if serial else nullcontext()
    with Servers() as servers, turn:
        recovered = log.recover()
        chain = None
        if how.resume is not None:
            chain = going_on(log, how.resume)
            if (going := _going_on(order, chain, how)) is None:
                return RunOutput(chain.tip, repeated=True)
            order = going
        order = within_budget(order, tip_after(log.last()))
        order = _with_tools(order, chain, servers)
        if how.session_name is not None and how.store is not None and how.keep:
            name = ids.session_name(how.session_name)
            how.store.rename(log.session_id, how.user_id, name)
        result = perform(order, log, how.on_event, how.shield)
    return replace(result, recovered=tuple(recovered), problems=tuple(log.problems))


def call_inside(what: Runnable, input: str, how: Invocation, inside: Inside) -> RunLine:
    """Make a run inside another, or go on with the one that `inside` names; return its line.

    That is the line as it was where there is nothing to be done, or nobody has settled what it
    waits for. Raises LimitReached if it was a limit of a run around it that ended it.
    """
    decide = stoppable(how.decide, inside.outer.stop)
    how = replace(
        how, run_id=inside.run_id, answers=Answers(), resume=inside.resumes, decide=decide
    )
    chain = _begun_inside(inside.log, inside)
    if chain is None:
        how = replace(how, resume=None)
    asked, log = _asked(what, input if chain is None else "", how, inside.log)
    order = what.order(asked, log, how)
    order = replace(order, inside=inside)
    with Servers() as servers:
        if chain is not None:
            tip = chain.tip
            if tip["status"] == "COMPLETED" or _still_waits(tip, inside, how):
                inside.line = tip
                return tip
            order = replace(order, input="", files=(), resumes=tip, settled=dict(inside.settled))
        result = perform(_with_tools(order, chain, servers), log, how.on_event)
    if result.store_error is not None:
        raise result.store_error
    if inside.limit is not None:
        raise inside.limit
    return result.line


def _begun_inside(log: SessionLog, inside: Inside) -> Chain | None:
    """Return the run to go on with; None if it was not begun when all ended."""
    return None if inside.resumes is None else follow(log, inside.resumes)


def _still_waits(tip: RunLine, inside: Inside, how: Invocation) -> bool:
    """Tell whether a paused run has to go on waiting."""
    if tip["status"] != "PAUSED" or inside.settled:
        return False
    try:
        refuse_unsettled(tip, how.decide)
    except UsageError:
        return True
    return False


def _with_tools(order: Order, chain: Chain | None, servers: Servers) -> Order:
    """Return the order with all its tools, and with what was settled fitted to them."""
    order = servers.join_in(order)
    if chain is None or not order.settled:
        return order
    tools = {name: tool.spec for name, tool in by_name(order.tools).items()}
    specs = tools | dict(order.step_specs)
    return replace(order, settled=fitted(order.settled, chain, specs, order.tools_inside))


def _asked(
    what: Runnable, input: str, how: Invocation, around: SessionLog | None = None
) -> tuple[Asked, SessionLog]:
    user = ids.user_id(how.user_id)
    run = ids.run_id(how.run_id) if how.run_id is not None else new_run_id()
    text = storable(input)
    files = tuple(map(load, how.files))
    if how.resume is None and not text.strip() and not files:
        raise UsageError("the prompt is empty", hint="say what to send to the model")
    what.check(text, how)
    return Asked(run, text, files), _log(how, user, around)


def _log(how: Invocation, user: str, around: SessionLog | None) -> SessionLog:
    """Return a handle of its own for a run, also for one inside another, whose is `around`."""
    session = ids.session_id(how.session_id) if how.session_id is not None else None
    if session is None:
        session = ids.session_for(how.run_id) if how.run_id is not None else new_id()
    kept = how.store.session(session, user) if how.store is not None else None
    if kept is not None and how.keep:
        return kept
    return UnkeptLog(session, user, kept, around if isinstance(around, UnkeptLog) else None)


def _going_on(order: Order, chain: Chain, how: Invocation) -> Order | None:
    """Return the order with what it goes on with; None if there is nothing left to do.

    Raises UsageError for a paused run that this does not settle, or that gets a prompt.
    """
    tip = chain.tip
    if (order.input or order.files) and (tip["status"] == "PAUSED" or how.answers.given):
        raise UsageError(
            f"run {tip['run_id']!r} is paused: it takes no prompt before it is settled",
            hint="settle it first, and ask then",
        )
    if not how.answers.given:
        if tip["status"] == "COMPLETED":
            return None
        refuse_unsettled(tip, how.decide)
        return replace(order, resumes=tip)
    settled = settlements(chain, how.answers)
    return replace(order, resumes=tip, settled=settled) if settled else None
