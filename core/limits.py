"""What a run may use, and whether it has."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .errors import ConfigError, LimitReached
from .model import Model, Price
from .usage import Call, Totals

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
    used: Totals | None = None
    """What the session has used, when a run begins."""

    def after(self, used: Totals) -> "Budget":
        """Return the budget of a run in a session that used so much; raise LimitReached if there is
        nothing left of it."""
        begun = replace(self, used=used)
        begun.check(0, 0.0, spent=True)
        return begun

    def check(self, tokens: int, cost: float, *, spent: bool = False) -> None:
        """Raise LimitReached if a run that used this uses more than is left (`spent`: all)."""
        tokens += self.used["total_tokens"] if self.used else 0
        cost += (self.used["cost"] or 0.0) if self.used else 0.0
        if self.tokens is not None and (tokens > self.tokens or (spent and tokens == self.tokens)):
            raise self._spent(f"{self.tokens} tokens", f"{tokens}", spent=spent)
        if self.cost is not None and (cost > self.cost or (spent and cost == self.cost)):
            raise self._spent(f"${self.cost:g}", f"${cost:g}", spent=spent)

    @staticmethod
    def _spent(budget: str, used: str, *, spent: bool) -> LimitReached:
        how = f"is used up: {used}" if spent else "was reached"
        hint = "the agent's `budget` sets it; another session begins with a new one"
        return LimitReached(f"the session's budget of {budget} {how}", hint=hint)


class Meter:
    """Follows one request: stops it when a limit is reached, by estimate.

    `before` are the run's calls that ended.
    """

    def __init__(
        self,
        limits: Limits,
        budget: Budget,
        price: Price | None,
        before: Iterable[Call],
        input_tokens: int,
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._price = price or Price(0.0, 0.0)
        calls = list(before)
        self._tokens = sum(call["total_tokens"] for call in calls) + input_tokens
        self._cost = sum(call["cost"] or 0.0 for call in calls)
        self._cost += self._price.input * input_tokens
        self._bytes = 0

    def take(self, text: str) -> None:
        """Count a piece of the answer."""
        self._bytes += len(text.encode())

    def check(self, seconds: float) -> None:
        """Raise LimitReached if a limit is reached, `seconds` after the run's start."""
        limits, out = self._limits, self._bytes // _BYTES_PER_TOKEN
        tokens, cost = self._tokens + out, self._cost + self._price.output * out
        if limits.seconds is not None and seconds >= limits.seconds:
            raise self.time_is_up()
        if limits.tokens is not None and tokens > limits.tokens:
            raise LimitReached(
                f"the limit of {limits.tokens} tokens was reached",
                hint="--max-total-tokens sets it",
            )
        if limits.cost is not None and cost > limits.cost:
            raise LimitReached(
                f"the limit of ${limits.cost:g} was reached", hint="--max-cost sets it"
            )
        self._budget.check(tokens, cost)

    def time_is_up(self) -> LimitReached:
        """Return the error for a run that took too long."""
        return LimitReached(
            f"the time limit of {self._limits.seconds:g} s was reached", hint="--timeout sets it"
        )


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
