"""Tokens, cost and time: of one model call, of a run, of a session."""

from collections.abc import Iterable
from typing import Literal, NotRequired, cast

from .typed import TypedDict

CallKind = Literal["model", "summary", "naming", "repair"]
"""What a request to a model is for: the run itself, or something about it."""


class Usage(TypedDict):
    """What one model call used. Cost in US dollars, null where the price is not known."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: float | None
    estimated: bool
    """True where the provider did not report the tokens and clew counted them by rule of thumb."""


class Call(Usage):
    """One request to a model, also one that failed."""

    kind: CallKind
    model: str
    attempt: int
    """1 for the first try; each retry counts one up."""
    duration: float
    """Seconds."""
    error: str | None


class Totals(TypedDict):
    """Sums over calls: `cost` adds what is known, `cost_unknown` requests without a price."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: float | None
    cost_unknown: int
    requests: int
    duration: float
    """Seconds."""
    estimated: bool


class RunMetrics(Totals):
    """What the model calls of one run used."""

    time_to_first_token: float | None
    """Seconds from the run's start."""
    details: list[Call]


class SessionMetrics(Totals):
    """What all runs of a session used, and how many there are."""

    runs: int
    """Top-level runs."""
    turns: int
    """Top-level runs that are COMPLETED: what history can send."""
    summary_seq: NotRequired[int]
    """The last line that has a summary; not there before the first one."""
    open_pauses: NotRequired[list[str]]
    """The paused runs that nobody has gone on with, the latest last; not there if none is."""


_COUNTS: tuple[
    Literal["input_tokens"],
    Literal["output_tokens"],
    Literal["total_tokens"],
    Literal["cache_read_tokens"],
    Literal["cache_write_tokens"],
    Literal["reasoning_tokens"],
] = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def no_usage() -> Usage:
    """Return the usage of a call that used nothing."""
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost": 0.0,
        "estimated": False,
    }


def no_totals() -> Totals:
    """Return empty sums."""
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost": 0.0,
        "cost_unknown": 0,
        "requests": 0,
        "duration": 0.0,
        "estimated": False,
    }


def totals(calls: Iterable[Call], duration: float) -> Totals:
    """Return the sums over `calls` of a run that took `duration` seconds."""
    result = no_totals()
    for call in calls:
        for count in _COUNTS:
            result[count] += call[count]
        result["requests"] += 1
        result["estimated"] |= call["estimated"]
        _add_cost(result, call["cost"], 1 if call["cost"] is None else 0)
    result["duration"] = round(duration, 3)
    _forget_nothing_known(result)
    return result


def run_metrics(calls: list[Call], duration: float, first_token: float | None) -> RunMetrics:
    """Return the metrics of a run."""
    return {
        **totals(calls, duration),
        "time_to_first_token": None if first_token is None else round(first_token, 3),
        "details": calls,
    }


def no_session_metrics() -> SessionMetrics:
    """Return the metrics of a session without lines."""
    return cast(SessionMetrics, {**no_totals(), "runs": 0, "turns": 0})


def add_totals(left: Totals, right: Totals) -> Totals:
    """Return the sum of both."""
    result = left.copy()
    for count in _COUNTS:
        result[count] += right[count]
    result["requests"] += right["requests"]
    result["duration"] = round(left["duration"] + right["duration"], 3)
    result["estimated"] |= right["estimated"]
    _add_cost(result, right["cost"], right["cost_unknown"])
    _forget_nothing_known(result)
    return result


def _add_cost(result: Totals, cost: float | None, unknown: int) -> None:
    result["cost"] = round((result["cost"] or 0.0) + (cost or 0.0), 10)
    result["cost_unknown"] += unknown


def _forget_nothing_known(result: Totals) -> None:
    if result["requests"] and result["cost_unknown"] == result["requests"]:
        result["cost"] = None


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` is; rather too many than too few.

    A third of its UTF-8 bytes: English has about 4 bytes a token, code 3, Chinese 3 to 4.
    """
    return -(-len(text.encode("utf-8", "replace")) // 3)
