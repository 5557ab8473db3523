"""One question to a model and its answer: retries, limits, and a note of everything that was paid
for."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from .deadline import TimeIsUp, within
from .errors import Cancelled, ClewError, LimitReached, ModelError, NotFoundError
from .events import Announcer, EventName
from .history import tokens_of
from .limits import Budget, Limits, Meter, TimeLimit
from .messages import Message
from .model import Model, ModelReply, ModelRequest, Price, estimated_usage
from .stop import Stop
from .store import Flight
from .text import storable
from .usage import Call, CallKind, Usage, estimate_tokens, no_usage

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_LOOK_SECONDS = 0.25


@dataclass
class Exchange:
    """Asks a model; holds what came, also when it ends in an error."""

    model: Model
    limits: Limits
    flight: Flight
    announcer: Announcer
    fallbacks: tuple[Model, ...] = ()
    """Who is asked next, one after the other, when `model` is not to be had."""
    budget: Budget = Budget()
    outer: "Exchange | None" = None
    """That of the run around this one."""
    stop: Stop = field(default_factory=Stop)
    pieces: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    calls_inside: list[Call] = field(default_factory=list)
    """Those of the runs inside this one."""
    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    reply: ModelReply | None = None
    held: bool = False
    """Whether text is told of when its place is known: in the answer, or before a tool call."""
    is_open: bool = False
    """Whether an answer has begun that has not ended."""
    _under_way: dict[int, Call] = field(default_factory=dict)
    """What requests that have begun will use at least, also of the runs inside this one."""
    _counting: threading.RLock = field(default_factory=threading.RLock)
    """Held while a request is weighed and counted: one for all runs that count for each other."""

    def __post_init__(self) -> None:
        if self.outer is not None:
            self._counting = self.outer._counting

    @property
    def content(self) -> str:
        """The answer so far."""
        return "".join(self.pieces)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """How long the run may still take; None where there is no limit."""
        return self.time.left

    @property
    def time(self) -> TimeLimit:
        """How long the run may take."""
        around = self.outer.time if self.outer else None
        return TimeLimit(self.limits, self.budget, around, self.announcer.run_id, self.started)

    def ask(
        self, request: ModelRequest, kind: CallKind = "model", *, hold: bool = False
    ) -> ModelReply:
        """Put a question and return how its answer ended. Raises ModelError or LimitReached.

        With `hold` the text is told of only when its turn ends.
        """
        self.budget.refuse_spent()
        self.pieces.clear()
        self.held = hold or bool(request.tools)
        self.is_open = True
        attempt = 1
        while True:
            try:
                return self._attempt(request, kind, attempt)
            except ModelError as error:
                pause = self._pause(error, attempt)
                if pause is not None:
                    self._announce_retry(error, attempt, pause)
                elif not self._falls_back(error):
                    raise
            self._wait(pause or 0.0)
            attempt = 1 if pause is None else attempt + 1

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
            self.stop.check()

    def end_turn(self, *, answered: bool) -> None:
        """Tell what the text was: the answer, or words before a tool call or a repair."""
        self.is_open = False
        if self.held and self.pieces:
            name: EventName = "RunContent" if answered else "RunIntermediateContent"
            self.announcer.tell({**self.announcer.event(name), "content": self.content})
        if not answered:
            self.pieces.clear()

    def take_over(self, text: str, finish_reason: str | None) -> ModelReply:
        """Have for an answer what a run inside this one has said; return how that ended."""
        self.held = self.is_open = True
        self.pieces[:] = [text]
        self.flight.note({"text": text})
        resolved = self.reply.resolved_model if self.reply else None
        self.reply = ModelReply(finish_reason, no_usage(), resolved)
        self.end_turn(answered=True)
        return self.reply

    def break_off(self, before: str) -> None:
        """Tell what there is of an answer that will not be whole; if nothing, the one `before`."""
        if self.is_open:
            self.end_turn(answered=True)
        if before and not self.pieces:
            self.announcer.tell({**self.announcer.event("RunContent"), "content": before})

    def has_room(self, messages: Sequence[Message]) -> bool:
        """Tell whether another request with these messages is within the limits."""
        try:
            self._check(self._meter(tokens_of(messages)))
        except LimitReached:
            return False
        return True

    def _attempt(self, request: ModelRequest, kind: CallKind, attempt: int) -> ModelReply:
        call = self._open(request, kind, attempt)
        meter = self._begin(call)
        try:
            return self._send(request, call, meter)
        finally:
            self._take_out(call)

    def _begin(self, call: Call) -> Meter:
        """Count a request from now on; raise LimitReached if it would be one too many."""
        with self._counting:
            meter = self._meter(call["input_tokens"])
            self._check(meter)
            least: Call = {**call, **estimated_usage(call["input_tokens"], 0, self.model.price)}
            for each in self._all_around:
                each._under_way[id(call)] = least
        return meter

    def _send(self, request: ModelRequest, call: Call, meter: Meter) -> ModelReply:
        self.flight.note({"open": call})
        self.announcer.tell(
            {
                **self.announcer.event("ModelRequestStarted"),
                "model": self.model.name,
                "kind": call["kind"],
                "attempt": call["attempt"],
            }
        )
        started = time.monotonic()
        try:
            self.reply = self._in_time(request, lambda delta: self._hear(delta, meter))
        except NotFoundError:
            raise  # a recording that has no answer: nothing was requested
        except BaseException as error:
            self._close(call, started, self._estimate(call, error), self._word(error))
            if isinstance(error, TimeIsUp) or (
                isinstance(error, ModelError) and self.seconds_left == 0
            ):
                raise self.time.reached() from error
            raise
        self._close(call, started, self.reply.usage, None)
        self._announce_reply(self.reply)
        return self.reply

    def _in_time(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Ask the model; raise TimeIsUp if the run's time ends before the answer does."""
        if not self.model.takes_schema:
            request = replace(request, schema=None)  # the messages tell it
        left = self.seconds_left
        if left is None and self.outer is None:
            return self.model.ask(request, on_text)
        timed = replace(request, seconds=left)
        return within(left, lambda give: self.model.ask(timed, give), on_text, self.stop)

    def _hear(self, delta: str, meter: Meter) -> None:
        """Keep a piece of the answer, pass it on, and stop where a limit is reached."""
        delta = storable(delta)
        if delta:
            if self.first_token is None:
                self.first_token = self.seconds
            self.pieces.append(delta)
            self.flight.note({"text": delta})
            name: EventName = "ModelContent" if self.held else "RunContent"
            self.announcer.tell({**self.announcer.event(name), "content": delta})
            meter.take(delta)
        self._check(meter)

    def _check(self, meter: Meter) -> None:
        """Raise LimitReached if a limit is reached, of this run or of one around it."""
        if self.seconds_left == 0:
            raise self.time.reached()
        meter.check()

    def _meter(self, input_tokens: int, price: Price | None = None) -> Meter:
        price = price or self.model.price
        with self._counting:
            outer = self.outer._meter(input_tokens, price) if self.outer else None
            calls = (*self.calls, *self.calls_inside, *self._under_way.values())
        run_id = self.announcer.run_id
        return Meter(self.limits, self.budget, price, calls, input_tokens, run_id, outer)

    def _count(self, call: Call, ended: Call) -> None:
        """Count a request as it ended, in place of what it was to use at least."""
        with self._counting:
            self._take_out(call)
            for each in self._all_around:
                (each.calls if each is self else each.calls_inside).append(ended)

    def _take_out(self, call: Call) -> None:
        with self._counting:
            for each in self._all_around:
                each._under_way.pop(id(call), None)

    @property
    def _all_around(self) -> Iterator["Exchange"]:
        """Yield this one, and those of the runs around."""
        around: Exchange | None = self
        while around is not None:
            yield around
            around = around.outer

    def _open(self, request: ModelRequest, kind: CallKind, attempt: int) -> Call:
        cost = 0.0 if self.model.price and not self.model.price.input else None
        return {
            "kind": kind,
            "model": self.model.name,
            "attempt": attempt,
            **no_usage(),
            "input_tokens": tokens_of(request.messages),
            "cost": cost,
            "duration": 0.0,
            "error": None,
        }

    def _estimate(self, call: Call, error: BaseException) -> Usage:
        """What a broken call has used: a guess, or nothing if it failed before anything came.

        One that was given up here was sent, and is paid for as if the process had died.
        """
        given_up = isinstance(error, TimeIsUp | LimitReached | Cancelled | KeyboardInterrupt)
        if not self.pieces and not given_up:
            return no_usage()
        out = estimate_tokens(self.content)
        return estimated_usage(call["input_tokens"], out, self.model.price)

    def _close(self, call: Call, started: float, usage: Usage, error: str | None) -> None:
        duration = round(time.monotonic() - started, 3)
        ended: Call = {**call, **usage, "duration": duration, "error": error}
        self._count(call, ended)
        self.flight.note({"call": ended})

    @staticmethod
    def _word(error: BaseException) -> str:
        if isinstance(error, TimeIsUp):
            return LimitReached.kind
        return error.kind if isinstance(error, ClewError) else "cancelled"

    def _pause(self, error: ModelError, attempt: int) -> float | None:
        """How long to wait before the next attempt; None if there is to be none."""
        if not self._may_ask_again(error) or attempt > self.limits.repeats:
            return None
        pause = _FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        pause = max(pause, error.retry_after or 0.0)
        left = self.seconds_left
        fits = pause <= _LONGEST_PAUSE and (left is None or pause < left)
        return pause if fits else None

    def _may_ask_again(self, error: ModelError) -> bool:
        return error.retryable and not self.pieces and self.budget.has_turn_after(len(self.calls))

    def _falls_back(self, error: ModelError) -> bool:
        """Turn to the next model for the rest of the run, if there is one and that may help.

        A refused key or request is not worked around: somebody has to see it, and mend it.
        """
        if not self._may_ask_again(error) or not self.fallbacks:
            return False
        self.model, *others = self.fallbacks
        self.fallbacks = tuple(others)
        event = self.announcer.event("FallbackModelActivated")
        self.announcer.tell({**event, "model": self.model.name, "error": error.record()})
        return True

    def _announce_retry(self, error: ModelError, attempt: int, pause: float) -> None:
        event = self.announcer.event("ModelRequestError")
        record = error.record()
        self.announcer.tell(
            {**event, "attempt": attempt, "retry_in": round(pause, 3), "error": record}
        )

    def _announce_reply(self, reply: ModelReply) -> None:
        event = self.announcer.event("ModelRequestCompleted")
        self.announcer.tell(
            {
                **event,
                "model": reply.resolved_model or self.model.name,
                "finish_reason": reply.finish_reason,
                "metrics": dict(reply.usage),
            }
        )
