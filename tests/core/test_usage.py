"""Tokens, cost and time."""

from typing import cast

import pytest

from clew.core.usage import (
    Call,
    Totals,
    add_totals,
    estimate_tokens,
    no_totals,
    no_usage,
    run_metrics,
    totals,
)


def call(tokens: int = 0, cost: float | None = 0.0, *, estimated: bool = False) -> Call:
    usage = no_usage() | {"input_tokens": tokens, "total_tokens": tokens, "cost": cost}
    about = {"kind": "model", "model": "m", "attempt": 1, "duration": 0.5, "error": None}
    return cast(Call, usage | about | {"estimated": estimated})


def test_sums_add_the_tokens_and_count_the_requests() -> None:
    summed = totals([call(3), call(4)], 1.0)
    assert (summed["input_tokens"], summed["total_tokens"], summed["requests"]) == (7, 7, 2)


def test_sums_add_what_cost_is_known_and_count_what_is_not() -> None:
    summed = totals([call(cost=0.5), call(cost=None), call(cost=0.25)], 1.0)
    assert (summed["cost"], summed["cost_unknown"]) == (0.75, 1)


def test_a_cost_of_which_nothing_is_known_is_null() -> None:
    summed = totals([call(cost=None), call(cost=None)], 1.0)
    assert (summed["cost"], summed["cost_unknown"]) == (None, 2)


def test_nothing_used_costs_nothing() -> None:
    assert totals([], 0.0) == no_totals()
    assert no_totals()["cost"] == 0.0


def test_small_costs_add_up_without_noise() -> None:
    assert totals([call(cost=0.1), call(cost=0.2)], 1.0)["cost"] == 0.3


@pytest.mark.parametrize("flags", [(False, True), (True, False)])
def test_one_estimate_makes_the_sum_an_estimate(flags: tuple[bool, bool]) -> None:
    assert totals([call(estimated=flag) for flag in flags], 1.0)["estimated"] is True


def test_the_time_of_a_run_is_its_own_not_that_of_its_calls() -> None:
    assert totals([call(), call()], 7.0)["duration"] == 7.0


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    calls = [call(1, 0.5), call(2, None), call(3, 0.125, estimated=True)]
    parts = add_totals(totals(calls[:1], 1.0), totals(calls[1:], 2.0))
    assert parts == totals(calls, 3.0)


def test_nothing_added_changes_nothing() -> None:
    some = totals([call(1, None)], 1.0)
    assert add_totals(no_totals(), some) == add_totals(some, no_totals()) == some


def test_adding_leaves_both_parts_alone() -> None:
    left, right = totals([call(1)], 1.0), totals([call(2)], 1.0)
    before: tuple[Totals, Totals] = (left.copy(), right.copy())
    add_totals(left, right)
    assert (left, right) == before


def test_the_metrics_of_a_run_carry_each_call() -> None:
    calls = [call(1), call(2)]
    metrics = run_metrics(calls, 1.0, 0.25)
    assert (metrics["details"], metrics["time_to_first_token"]) == (calls, 0.25)


def test_a_run_without_an_answer_has_no_time_to_its_first_token() -> None:
    assert run_metrics([], 1.0, None)["time_to_first_token"] is None


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("日", 1)]
)
def test_an_estimate_is_a_third_of_the_bytes_rounded_up(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens
