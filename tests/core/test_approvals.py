"""What answers settle, and what is refused."""

import json
from collections.abc import Mapping
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from clew.core.approvals import Answers, Decide, confirm_all, pause, reject_all
from clew.core.errors import UsageError
from clew.core.records import Requirement, RequirementKind
from clew.core.tools import ToolError, ToolSpec, field_value


def requirement(
    call: str, kind: RequirementKind = "confirm", name: str = "send", *fields: str
) -> Requirement:
    asked = [{"name": field, "description": None, "value": None} for field in fields]
    made: Any = {"tool_call_id": call, "kind": kind, "tool_name": name, "fields": asked}
    return cast(Requirement, {**made, "tool_args": {}, "decision": None})


def decisions(answers: Answers, *requirements: Requirement) -> Mapping[str, str]:
    return {call: said.decision for call, said in answers.settle(requirements).items()}


def test_a_bare_yes_is_for_what_needs_no_more_than_that() -> None:
    waiting = [requirement("a"), requirement("b", "input", "ask", "x"), requirement("c", "result")]
    assert decisions(Answers(confirm=("",)), *waiting) == {"a": "confirmed"}


def test_a_bare_no_is_for_all_that_is_open() -> None:
    waiting = [requirement("a"), requirement("b", "input", "ask", "x"), requirement("c", "result")]
    assert decisions(Answers(reject=("",)), *waiting) == dict.fromkeys("abc", "rejected")


def test_a_bare_decision_leaves_what_was_named_alone() -> None:
    waiting = [requirement("a"), requirement("b")]
    assert decisions(Answers(confirm=("a",), reject=("",)), *waiting) == {
        "a": "confirmed",
        "b": "rejected",
    }


def test_what_was_decided_before_is_not_decided_again() -> None:
    done = requirement("a")
    done["decision"] = "rejected"
    assert decisions(Answers(confirm=("",)), done) == {}
    with pytest.raises(UsageError, match="no open call 'a'"):
        Answers(confirm=("a",)).settle([done])


def test_a_name_of_several_open_calls_names_none_and_the_hint_shows_them() -> None:
    with pytest.raises(UsageError, match="several open calls") as raised:
        Answers(confirm=("send",)).settle([requirement("a"), requirement("b")])
    assert "a (send" in str(raised.value.hint)
    assert "b (send" in str(raised.value.hint)


@pytest.mark.parametrize(
    "answers",
    [
        Answers(confirm=("a",), reject=("a",)),
        Answers(confirm=("a",), reject=("send",)),
        Answers(confirm=("",), reject=("",)),
        Answers(fields={"x": "1"}, reject=("b",)),
        Answers(results={"c": "1"}, reject=("c",)),
    ],
)
def test_nothing_is_settled_in_two_ways(answers: Answers) -> None:
    waiting = [
        requirement("a"),
        requirement("b", "input", "ask", "x"),
        requirement("c", "result", "out"),
    ]
    with pytest.raises(UsageError, match="both"):
        answers.settle(waiting)


def test_a_value_goes_to_each_open_call_that_asks_for_it() -> None:
    waiting = [requirement("a", "input", "ask", "x"), requirement("b", "input", "ask", "x")]
    assert decisions(Answers(fields={"x": "1"}), *waiting) == dict.fromkeys("ab", "answered")


def test_a_value_that_makes_no_call_whole_is_refused_with_what_is_missing() -> None:
    with pytest.raises(UsageError, match="also asks for y"):
        Answers(fields={"x": "1"}).settle([requirement("a", "input", "ask", "x", "y")])


def test_a_value_that_makes_one_call_whole_leaves_the_other_open() -> None:
    waiting = [requirement("a", "input", "ask", "x"), requirement("b", "input", "more", "x", "y")]
    assert decisions(Answers(fields={"x": "1"}), *waiting) == {"a": "answered"}


def test_nothing_said_is_nothing_given() -> None:
    assert not Answers(note="why").given
    assert Answers(confirm=("",)).given
    assert Answers(fields={"x": ""}).given


def test_who_says_yes_to_all_gives_no_values_and_no_results() -> None:
    tool = ToolSpec("send")
    said = {kind: confirm_all(requirement("a", kind), tool) for kind in get_args(RequirementKind)}
    assert said["input"] is said["result"] is None
    assert said["confirm"] is not None
    assert said["confirm"].decision == "confirmed"


def test_who_denies_says_no_to_everything() -> None:
    for kind in get_args(RequirementKind):
        assert reject_all(requirement("a", kind), ToolSpec("send")).decision == "rejected"


def test_who_pauses_decides_nothing() -> None:
    decide: Decide = pause
    assert decide(requirement("a"), ToolSpec("send")) is None


def spec(**kinds: Any) -> ToolSpec:
    return ToolSpec("ask", parameters={"type": "object", "properties": kinds, "required": ["z"]})


@given(some.text())
def test_text_for_a_text_is_that_text(text: str) -> None:
    assert field_value(spec(x={"type": "string"}), "x", text) == text


@given(some.one_of(some.integers(-(2**53), 2**53), some.booleans(), some.none()))
def test_json_for_another_kind_is_its_value(value: Any) -> None:
    kind = {"type": ["integer", "boolean", "null"]}
    assert field_value(spec(x=kind), "x", json.dumps(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "5.5"),
        ("integer", "many"),
        ("integer", ""),
        ("boolean", "yes"),
        ("number", "NaN"),
        ("number", "1e999"),
        ("array", "{}"),
        ("object", "{"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ToolError, match=r"\$\.x"):
        field_value(spec(x={"type": kind}), "x", text)


def test_a_value_that_a_program_gives_keeps_its_type() -> None:
    assert field_value(spec(x={"type": "integer"}), "x", 5) == 5
    with pytest.raises(ToolError):
        field_value(spec(x={"type": "string"}), "x", 5)
