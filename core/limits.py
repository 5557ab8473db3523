"""What a run may use, and whether it has."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from .errors import ConfigError, LimitReached
from .model import Model, Price
from .usage import Call, Totals, no_totals

_REPEATS = 2
_MOST_TURNS = 50
_ROUNDS = 1
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Limits:
    """What a run may use. Reaching a limit ends the run with LimitReached; None is no limit.

    `seconds` is for the whole run, `tokens` and `cost` (US dollars) for all its requests, `turns`
    is how many there may be (50 where nobody says), `answer_tokens` for one answer, `retries` for
    requests that failed in a way that may pass (2 where nobody says), `repairs` for answers that
    do not fit their schema (1 where nobody says).
    """

    seconds: float | None = None
    tokens: int | None = None
    cost: float | None = None
    turns: int | None = None
    answer_tokens: int | None = None
    retries: int | None = None
    repairs: int | None = None
    whole: "Limits | None" = field(default=None, compare=False)
    """What these are the rest of, where they are: that is what people have set, and are told."""

    @property
    def told(self) -> "Limits":
        """The limits that an error is to name."""
        return self.whole or self

    @property
    def repeats(self) -> int:
        """How often a failed request is sent again."""
        return _REPEATS if self.retries is None else self.retries

    @property
    def most_turns(self) -> int:
        """How often the model may be asked: never for ever, for each turn is paid for."""
        return _MOST_TURNS if self.turns is None else self.turns

    @property
    def rounds(self) -> int:
        """How often the model is asked to mend an answer that does not fit its schema."""
        return _ROUNDS if self.repairs is None else self.repairs


@dataclass(frozen=True)
class Budget:
    """What a session may use, over all its runs; None is no limit."""

    tokens: int | None = None
    cost: float | None = None
    """US dollars."""
    turns: int | None = None
    """Requests to models, also those that failed."""
    seconds: float | None = None
    """For how long its runs may go on, all together."""
    used: Totals | None = None
    """What the session has used, when a run begins."""

    def after(self, used: Totals) -> "Budget":
        """Return the budget of a run in a session that used so much."""
        return replace(self, used=used)

    @property
    def seconds_left(self) -> float | None:
        """How long a run that begins now may take; None where there is no limit."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - self._used["duration"])

    def refuse_spent(self) -> None:
        """Raise LimitReached if there is nothing left for a run that begins now."""
        used = self._used
        parts = self._parts(used["total_tokens"], used["cost"], used["requests"])
        for most, part, shape, unit in parts:
            if part >= most:
                used_up = f"is used up: {shape.format(part)}"
                raise self._reached(shape.format(most) + unit, used_up)
        if self.seconds_left == 0:
            raise self._reached(f"{self.seconds:g} s", f"is used up: {used['duration']:g}")

    def check(self, tokens: int, cost: float, turns: int) -> None:
        """Raise LimitReached if a run that used this uses more than is left."""
        used = self._used
        tokens, turns = tokens + used["total_tokens"], turns + used["requests"]
        parts = self._parts(tokens, cost + (used["cost"] or 0.0), turns)
        for most, part, shape, unit in parts:
            if part > most:
                raise self._reached(shape.format(most) + unit, "was reached")

    def has_turn_after(self, turns: int) -> bool:
        """Tell whether the model may be asked again by a run that has asked so often."""
        return self.turns is None or self._used["requests"] + turns < self.turns

    @property
    def _used(self) -> Totals:
        return self.used or no_totals()

    def _parts(
        self, tokens: int, cost: float | None, turns: int
    ) -> Iterator[tuple[float, float, str, str]]:
        """Yield what is bounded: how much there is, how much of it is used, and how to tell it."""
        if self.tokens is not None:
            yield self.tokens, tokens, "{}", " tokens"
        if self.cost is not None:
            yield self.cost, cost or 0.0, "${:g}", ""
        if self.turns is not None:
            yield self.turns, turns, "{}", " turns"

    def time_is_up(self, when: str = "") -> LimitReached:
        """Return the error for a run that took all the time that is left."""
        return self._reached(f"{self.seconds:g} s", f"was reached{when}")

    @staticmethod
    def _reached(budget: str, how: str) -> LimitReached:
        hint = "the agent's `budget` sets it; another session begins with a new one"
        return LimitReached(f"the session's budget of {budget} {how}", hint=hint)


@dataclass(frozen=True)
class TimeLimit:
    """How long a run may take: what its own limit says or, if that is less, what is left of its
    session's budget, or of the time of the run around it (`outer`)."""

    limits: Limits = Limits()
    budget: Budget = Budget()
    outer: "TimeLimit | None" = None
    run_id: str | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float | None:
        """How long the run may still take; None where there is no limit."""
        around = self.outer.left if self.outer is not None else None
        return _least(self._own_left, around)

    @property
    def _own_left(self) -> float | None:
        most = _least(self.limits.seconds, self.budget.seconds_left)
        return None if most is None else max(0.0, most - (time.monotonic() - self.started))

    def reached(self, when: str = "") -> LimitReached:
        """Return the error for a run that took longer: the one of whoever has the least left."""
        own, around = self._own_left, self.outer.left if self.outer is not None else None
        if self.outer is not None and around is not None and _least(own, around) == around:
            return self.outer.reached(when)
        error = self._reached(when)
        error.run_id = self.run_id
        return error

    def _reached(self, when: str) -> LimitReached:
        own, budget = self.limits.seconds, self.budget.seconds_left
        if own is None or (budget is not None and budget < own):
            return self.budget.time_is_up(when)
        message = f"the time limit of {self.limits.told.seconds:g} s was reached{when}"
        return LimitReached(message, hint="--timeout sets it")


def _least(*seconds: float | None) -> float | None:
    return min((each for each in seconds if each is not None), default=None)


class Meter:
    """Follows one request: stops it when a limit is reached, by estimate.

    `before` are the calls of the run `run_id` that ended, or are under way. What the request uses
    counts for the runs around it, too: `outer` follows it there.
    """

    def __init__(
        self,
        limits: Limits,
        budget: Budget,
        price: Price | None,
        before: Iterable[Call],
        input_tokens: int,
        run_id: str,
        outer: "Meter | None" = None,
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._run_id = run_id
        self._price = price or Price(0.0, 0.0)
        calls = list(before)
        self._turns = len(calls) + 1
        self._tokens = sum(call["total_tokens"] for call in calls) + input_tokens
        self._cost = sum(call["cost"] or 0.0 for call in calls)
        self._cost += self._price.input * input_tokens
        self._bytes = 0
        self._outer = outer

    def take(self, text: str) -> None:
        """Count a piece of the answer."""
        self._bytes += len(text.encode())
        if self._outer is not None:
            self._outer.take(text)

    def check(self) -> None:
        """Raise LimitReached if a limit is reached, the outermost one first."""
        if self._outer is not None:
            self._outer.check()
        try:
            self._check_own()
        except LimitReached as error:
            error.run_id = self._run_id
            raise

    def _check_own(self) -> None:
        limits, out = self._limits, self._bytes // _BYTES_PER_TOKEN
        tokens, cost = self._tokens + out, self._cost + self._price.output * out
        if limits.tokens is not None and tokens > limits.tokens:
            raise LimitReached(
                f"the limit of {limits.told.tokens} tokens was reached",
                hint="--max-total-tokens sets it",
            )
        if limits.cost is not None and cost > limits.cost:
            raise LimitReached(
                f"the limit of ${limits.told.cost:g} was reached", hint="--max-cost sets it"
            )
        self._budget.check(tokens, cost, self._turns)


def refuse_unpriced(models: Iterable[Model], limits: Limits, budget: Budget) -> None:
    """Raise ConfigError for a cost limit on models of which nobody knows a price."""
    if limits.cost is not None:
        what, hint = "--max-cost", "leave --max-cost out, or limit tokens with --max-total-tokens"
    elif budget.cost is not None:
        what, hint = "the agent's budget.cost", "leave it out, or say budget.tokens"
    else:
        return
    for model in models:
        if model.price is None:
            raise ConfigError(
                f"{what} needs the price of {model.name!r}, which is not known", hint=hint
            )
