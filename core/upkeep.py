"""What a model is asked about a session when a run is over: a summary, a name.

By then the run is stored and its answer is out; nobody waits for its turn. What comes of this, and
what it cost, is a line of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast

from . import ids
from .clock import new_id, now
from .errors import BusyError, Cancelled, ClewError, ConflictError, ModelError, RequestRefused
from .events import Announcer, Listener
from .exchange import Exchange
from .flight import interruption
from .limits import Budget, Limits, refuse_unpriced
from .lines import SessionLine
from .messages import Message
from .model import Model, ModelRequest
from .session import Draft, Drafter, Tip, always, seal, tip_after
from .session_summary import (
    ASKS_FOR_NAME,
    ASKS_FOR_SUMMARY,
    Material,
    material,
    name_from,
    name_request,
    newest_turns,
    summary_from,
    summary_request,
)
from .store import Flight, SessionLog, Store
from .text import storable
from .usage import CallKind, RunMetrics, Totals, run_metrics

_ANSWER_SHARE = 32
_LONGEST_ANSWER = 2048
_MOST = 32_000
_AROUND = 400
_THRESHOLD = 4000
_THRESHOLD_SHARE = 4
_FOR_A_NAME = 2000
_NAMESAKES = 100


@dataclass(frozen=True)
class Job:
    """How a model is asked about a session.

    `by` is the run after which it is asked, `limits` what it may use, `budget` what the session
    may. `shield` holds back whatever could stop the process while a line is written.
    """

    model: Model
    limits: Limits = Limits()
    budget: Budget = Budget()
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    by: str | None = None
    listener: Listener = lambda _event: None
    shield: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def answer(self) -> int:
        """The longest answer, in tokens."""
        window = self.model.window
        share = _LONGEST_ANSWER if window is None else window // _ANSWER_SHARE
        return max(1, min(_LONGEST_ANSWER, share))

    @property
    def most(self) -> int:
        """How many tokens of the conversation one request takes."""
        window = self.model.window
        # The summary so far is as long as the new one may be.
        free = _MOST if window is None else window - 2 * self.answer - _AROUND
        return max(1, min(_MOST, free))

    def threshold(self, asked: int | None) -> int:
        """How many tokens there have to be before a summary is made unasked."""
        share = (self.model.window or _MOST) // _THRESHOLD_SHARE
        return min(self.most, min(_THRESHOLD, share) if asked is None else asked)


def left_of(limits: Limits, used: Totals) -> Limits:
    """Return what a run has left of its limits, for what is asked after it."""
    return replace(
        limits,
        whole=limits.told,
        seconds=None if limits.seconds is None else max(0.0, limits.seconds - used["duration"]),
        tokens=None if limits.tokens is None else max(0, limits.tokens - used["total_tokens"]),
        cost=None if limits.cost is None else max(0.0, limits.cost - (used["cost"] or 0.0)),
    )


def summarize(log: SessionLog, job: Job, above: int = 0) -> SessionLine | None:
    """Have the session's summary made, and return its line.

    None if there are not `above` tokens of turns that are in no summary. Raises BusyError if
    somebody else is at it, and what the model raises; what was used until then is stored.
    """
    found = _due(log, job, above)
    if found is None:
        return None
    with _recorded(log, job) as (flight, intent):
        if tip_after(log.last()).metrics.get("summary_seq") != found.seen:
            found = _due(log, job, above)  # one was made before the record was ours
        if found is None:
            return None
        announcer = Announcer(job.listener, job.by or "", log.session_id)
        announcer.tell(announcer.event("SessionSummaryStarted"))
        words = max(20, min(200, job.answer // 3))
        request = summary_request(found, words, job.most)
        asked = _ask(log, job, flight, "summary", request)
        text = summary_from(asked.text) if asked.stop is None else ""
        asked.refuse_empty(text)
        with job.shield():
            line = _append(log, asked, _summary(intent, asked, found, text))
        announcer.tell({**announcer.event("SessionSummaryCompleted"), **_told(line, asked)})
    asked.raise_again()
    return line


def name_session(
    store: Store, log: SessionLog, job: Job, *, unless_named: bool
) -> tuple[SessionLine | None, ClewError | None]:
    """Give the session a name of at most five words; return its line, and what went wrong.

    Where the model gives none, the name is the beginning of what was asked first. No line if the
    session has no turn, or, with `unless_named`, a name. Raises BusyError and StoreError.
    """
    turns = newest_turns(log, _FOR_A_NAME)
    who = (log.session_id, log.user_id)
    if not turns or (unless_named and store.name_of(*who) is not None):
        return None, None
    with _recorded(log, job) as (flight, intent):
        asked = _ask(log, job, flight, "naming", name_request(turns, min(_FOR_A_NAME, job.most)))
        name = name_from(asked.text) if asked.stop is None else ""
        asked.refuse_empty(name)
        if isinstance(asked.stop, ClewError | None):
            name = name or name_from(turns[0]["input"]) or "Session"
        with job.shield():
            line = _name(store, log, asked, intent, name, unless_named=unless_named)
    if asked.stop is not None and not isinstance(asked.stop, ClewError):
        raise asked.stop
    return line, asked.stop


@dataclass
class _Asked:
    """What a model said, or what stopped it."""

    text: str
    exchange: Exchange
    stop: BaseException | None

    def refuse_empty(self, result: str) -> None:
        """Take an answer without a result for an error."""
        if self.stop is None and not result:
            self.stop = ModelError("the model answered nothing that can be used")

    def fields(self, intent: SessionLine) -> dict[str, Any]:
        """Return the own fields of a line without a result."""
        error = self.stop if isinstance(self.stop, ClewError | None) else _stopped()
        exchange = self.exchange
        metrics = run_metrics(exchange.calls, exchange.seconds, exchange.first_token)
        return _without_result(intent["by"], intent["job_id"], error, metrics)

    def raise_again(self) -> None:
        """Raise what stopped it, if anything did."""
        if self.stop is not None:
            raise self.stop


def _without_result(
    by: str | None, job_id: str, error: ClewError | None, metrics: RunMetrics
) -> dict[str, Any]:
    """Return the own fields of a line of which nothing came; their order is the format's."""
    return {
        "name": None,
        "summary": None,
        "covers": None,
        "by": by,
        "job_id": job_id,
        "error": error.record() if error else None,
        "metrics": metrics,
    }


def _due(log: SessionLog, job: Job, above: int) -> Material | None:
    found = material(log, job.most)
    return found if found is not None and found.tokens >= above else None


@contextmanager
def _recorded(log: SessionLog, job: Job) -> Iterator[tuple[Flight, SessionLine]]:
    """Record that a model is asked; give the record, and the line if nothing ever comes."""
    refuse_unpriced([job.model], job.limits, job.budget)
    fields = _without_result(job.by, new_id(), interruption(), run_metrics([], 0.0, None))
    who = {"session_id": log.session_id, "user_id": log.user_id}
    line = seal(Draft("session", fields), tip_after(log.last()), created_at=now(), **who)
    line["seq"] = None
    intent = cast(SessionLine, line)
    with log.job(intent) as flight:
        yield flight, intent


def _ask(
    log: SessionLog, job: Job, flight: Flight, kind: CallKind, messages: list[Message]
) -> _Asked:
    silent = Announcer(lambda _event: None, job.by or "", log.session_id)
    exchange = Exchange(job.model, job.limits, flight, silent)
    request = ModelRequest(
        messages=messages,
        input=ASKS_FOR_SUMMARY if kind == "summary" else ASKS_FOR_NAME,
        options=job.options,
        max_tokens=job.answer,
        stream=job.stream,
    )
    try:
        exchange.budget = job.budget.after(tip_after(log.last()).metrics)
        reply = exchange.ask(request, kind)
        if reply.finish_reason == "content_filter":
            raise RequestRefused("the provider's content filter stopped the answer")
    except (ClewError, Cancelled, KeyboardInterrupt) as stop:
        return _Asked("", exchange, stop)
    return _Asked(storable(exchange.content), exchange, None)


def _summary(intent: SessionLine, asked: _Asked, found: Material, text: str) -> Drafter:
    """Return what makes the summary's line: a summary that somebody made meanwhile stands."""

    def draft(tip: Tip) -> Draft | None:
        if tip.seq < found.covers["last_seq"]:
            return None  # the session was taken away meanwhile
        if text and tip.metrics.get("summary_seq") != found.seen:
            asked.stop = ConflictError("another summary was made meanwhile")
        result = {} if asked.stop is not None else {"summary": text, "covers": found.covers}
        return Draft("session", asked.fields(intent) | result)

    return draft


def _append(log: SessionLog, asked: _Asked, draft: Drafter) -> SessionLine | None:
    """Store the line, unless nothing was asked and nothing came of it."""
    if asked.stop is not None and not asked.exchange.calls:
        return None
    return cast(SessionLine | None, log.append(draft))


def _name(
    store: Store,
    log: SessionLog,
    asked: _Asked,
    intent: SessionLine,
    name: str,
    *,
    unless_named: bool,
) -> SessionLine | None:
    fields = asked.fields(intent)
    for number in range(1, _NAMESAKES) if name else ():
        free = name if number == 1 else f"{name} {number}"
        made = Draft("session", fields | {"name": ids.session_name(free)})
        try:
            line = store.rename(
                log.session_id, log.user_id, free, made=made, unless_named=unless_named
            )
        except ConflictError:
            continue
        if line is not None:
            return cast(SessionLine, line)
        break  # it has that name, or got another one meanwhile
    return _append(log, asked, always(Draft("session", fields)))


def _told(line: SessionLine | None, asked: _Asked) -> Any:
    """Return what the event says of the summary."""
    error = asked.stop.record() if isinstance(asked.stop, ClewError) else None
    text = line["summary"] if line is not None else None
    return ({"content": text} if text else {}) | ({"error": error} if error else {})


def _stopped() -> ClewError:
    error = ClewError("it was stopped")
    error.kind, error.retryable = "cancelled", True
    return error


@dataclass(frozen=True)
class Wishes:
    """What is wanted after a run: a summary from so many tokens on, a name where there is none."""

    summary: bool = False
    threshold: int | None = None
    name: bool = False


@dataclass(frozen=True)
class Done:
    """What came of a wish."""

    what: str
    line: SessionLine | None
    error: ClewError | None


def tend(
    store: Store, log: SessionLog, job: Callable[[], Job], wishes: Wishes, used: Totals
) -> Iterator[Done]:
    """Do what is wanted after a run that has `used` so much, and yield what came of it.

    Nothing is raised but a stop: the run is over, and went well.
    """
    made: list[Totals] = [used]

    def rest() -> Job:
        asked = job()
        limits = asked.limits
        for totals in made:
            limits = left_of(limits, totals)
        return replace(asked, limits=limits)

    if wishes.name:
        done = _tried("name", lambda: name_session(store, log, rest(), unless_named=True))
        made += [done.line["metrics"]] if done.line is not None else []
        yield done
    if wishes.summary:
        yield _tried("summary", lambda: (_summed_up(log, rest(), wishes.threshold), None))


def _summed_up(log: SessionLog, job: Job, threshold: int | None) -> SessionLine | None:
    return summarize(log, job, job.threshold(threshold))


def _tried(what: str, make: Callable[[], tuple[SessionLine | None, ClewError | None]]) -> Done:
    try:
        return Done(what, *make())
    except BusyError:
        return Done(what, None, None)  # somebody else is at it
    except ClewError as error:
        return Done(what, None, error)
