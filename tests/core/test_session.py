"""A session is the fold over its lines."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import ConflictError
from clew.core.lines import Line
from clew.core.session import (
    Draft,
    StateChange,
    Tip,
    is_top_run,
    is_turn,
    name_draft,
    state_draft,
    tip_after,
)
from clew.core.usage import no_session_metrics
from tests.stores.made import job_draft, run_draft, sealed, state_line

STATES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3) | st.just({"x": 1}))


def after(*drafts: Draft) -> Line:
    """The last line of a session of these."""
    tip = Tip()
    line: Line | None = None
    for draft in drafts:
        line = sealed(draft, tip)
        tip = tip_after(line)
    assert line is not None
    return line


def member(draft: Draft) -> Draft:
    return Draft(draft.type, draft.fields | {"parent_run_id": "r0"}, draft.change)


def change(wish: StateChange | Any, **how: Any) -> Any:
    return state_draft(wish, **{"by": None, "only_if": None, "create": False} | how)


def test_an_empty_session_stands_at_zero() -> None:
    assert vars(tip_after(None)) == vars(Tip(0, {}, no_session_metrics()))


def test_top_level_runs_are_counted_and_completed_ones_are_turns() -> None:
    metrics = after(run_draft("a"), run_draft("b", status="ERROR"))["session_metrics"]
    assert (metrics["runs"], metrics["turns"]) == (2, 1)


def test_a_members_tokens_are_counted_but_its_run_is_not() -> None:
    metrics = after(run_draft("a"), member(run_draft("b")))["session_metrics"]
    assert (metrics["runs"], metrics["turns"], metrics["total_tokens"]) == (1, 1, 14)


def test_what_a_model_is_asked_for_is_counted_but_is_no_run() -> None:
    before = tip_after(sealed(run_draft("r1")))
    then = tip_after(sealed(job_draft("j1", "All of it.", tokens=5), before))
    metrics = before.metrics
    assert then.metrics["total_tokens"] == metrics["total_tokens"] + 5
    assert (then.metrics["runs"], then.metrics["turns"]) == (1, 1)


def test_every_line_tells_where_the_last_summary_is() -> None:
    tip, said = Tip(), []
    for draft in (
        run_draft("r1"),
        job_draft("j1", "One."),
        run_draft("r2"),
        job_draft("j2", None, tokens=5),
        job_draft("j3", "Two."),
    ):
        tip = tip_after(sealed(draft, tip))
        said.append(tip.metrics.get("summary_seq"))
    assert said == [None, 2, 2, 2, 5]


def test_a_change_of_the_state_costs_nothing() -> None:
    metrics = after(run_draft("a"), state_line({"a": 1}))["session_metrics"]
    assert metrics == after(run_draft("a"))["session_metrics"]


def test_a_line_carries_the_patch_it_made_not_the_one_that_was_wished() -> None:
    line = after(state_line({"a": 1, "b": {"c": None, "d": [{"e": None}]}}))
    assert line["type"] == "state"
    assert line["session_state"] == {"a": 1, "b": {"d": [{}]}}


def test_a_line_without_a_change_has_no_patch() -> None:
    line = after(run_draft("a"))
    assert line["type"] == "run"
    assert line["state_patch"] is None


@given(STATES, STATES)
def test_a_replacement_gives_just_that_state(old: dict[str, Any], new: dict[str, Any]) -> None:
    draft = Draft("state", state_line({}).fields, StateChange(replacement=new))
    assert sealed(draft, Tip(1, old))["session_state"] == new


def test_a_name_stands_in_a_line_of_its_own() -> None:
    draft = name_draft("trip")(Tip())
    assert draft is not None
    line = after(draft)
    assert line["type"] == "session"
    assert line["name"] == "trip"


def test_a_wish_that_changes_nothing_makes_no_line() -> None:
    tip = Tip(3, {"a": 1})
    for wish in (
        StateChange(patch={"a": 1, "b": None}),
        StateChange(replacement={"a": 1, "c": None}),
        StateChange(),
        dict,
    ):
        assert change(wish)(tip) is None


def test_a_session_can_be_created_without_a_change() -> None:
    assert change(StateChange(), create=True)(Tip()) is not None
    assert change(StateChange(), create=True)(Tip(1)) is None


def test_a_function_of_the_state_is_applied_to_the_state_as_it_is_then() -> None:
    draft = change(lambda state: {"n": state["n"] + 1})(Tip(1, {"n": 4}))
    assert sealed(draft, Tip(1, {"n": 4}))["session_state"] == {"n": 5}


def test_compare_and_set_is_lost_where_the_session_went_on() -> None:
    with pytest.raises(ConflictError, match="at seq 4, not 3"):
        change(StateChange(patch={"a": 1}), only_if=3)(Tip(4))
    assert change(StateChange(patch={"a": 1}), only_if=4)(Tip(4)) is not None


@pytest.mark.parametrize(
    ("wish", "replaced"),
    [(StateChange(patch={"a": 1}), False), (StateChange(None, {"a": 1}), True)],
)
def test_a_line_says_whether_the_state_was_replaced(wish: StateChange, replaced: bool) -> None:
    draft = change(wish, by="r1")(Tip())
    assert (draft.fields["state_replaced"], draft.fields["by"]) == (replaced, "r1")


def test_only_completed_top_level_runs_are_turns() -> None:
    cancelled, part = run_draft("a", status="CANCELLED"), member(run_draft("b"))
    lines = [after(draft) for draft in (run_draft("a"), cancelled, part, state_line({"a": 1}))]
    assert [is_turn(line) for line in lines] == [True, False, False, False]
    assert [is_top_run(line) for line in lines] == [True, True, False, False]
