"""The names of a workflow's parts."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.agent import Agent
from clew.core.errors import UsageError
from clew.core.step_names import named, walk
from clew.core.steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Router,
    Step,
    StepInput,
    Steps,
)


def count(step: StepInput) -> str:
    return str(len(step.content))


DOES = Command(["wc", "-w"])


def names(*nodes: Node) -> list[str | None]:
    return [each.name for each in walk(named(nodes))]


def test_a_part_without_a_name_is_called_after_what_it_does() -> None:
    assert names(
        Step(Agent(name="finder")),
        Step(Command(["/usr/bin/wc", "-w"])),
        Step(count),
        Steps([Step(DOES)]),
        Parallel([Step(Agent(name="checker"))]),
        Condition("true", [Step(Command(["a"]))], [Step(Command(["b"]))]),
        Loop([Step(Command(["c"]))]),
        Router('"d"', [Step(Command(["d"]))]),
    ) == [
        *("finder", "wc", "count", "steps", "wc-2", "parallel", "checker"),
        *("condition", "a", "b", "loop", "c", "router", "d"),
    ]


def test_a_part_that_has_nothing_to_be_called_after_is_called_by_its_kind() -> None:
    functions: list[Any] = [lambda step: "x", partial(count)]
    assert names(*map(Step, functions), Step(Agent()), Step(Command([]))) == [
        *("function", "function-2", "agent", "command")
    ]


def test_equal_names_get_numbers_in_their_order_wherever_they_stand() -> None:
    draft = Step(DOES, name="draft")
    assert names(draft, Loop([draft], name="draft"), Parallel([draft], name="all"), draft) == [
        *("draft", "draft-2", "draft-3", "all", "draft-4", "draft-5")
    ]


def test_a_name_given_by_hand_stays_though_one_like_it_was_made_up_or_numbered_before() -> None:
    assert names(
        Step(DOES),
        Step(DOES, name="wc"),
        Step(DOES, name="wc"),
        Step(DOES, name="wc-2"),
    ) == ["wc-4", "wc", "wc-3", "wc-2"]


@given(
    st.recursive(
        st.builds(Step, st.just(DOES), name=st.sampled_from([None, "a", "a-2", "b"])),
        lambda below: (
            st.builds(Steps, st.lists(below, max_size=3))
            | st.builds(Condition, st.just("true"), st.lists(below), st.lists(below))
        ),
        max_leaves=12,
    ).map(lambda node: [node, node])
)
def test_names_are_unique_and_naming_twice_changes_nothing(nodes: list[Node]) -> None:
    once = named(nodes)
    found = [each.name for each in walk(once)]
    assert len(set(found)) == len(found) == len(list(walk(nodes)))
    assert named(once) == once


def test_only_names_change() -> None:
    step = Step(DOES, description="counts", retries=2)
    loop = Loop([step], until="true", forward=True, description="twice")
    assert named([loop, Condition("false", [], [step])]) == (
        Loop(
            (Step(DOES, name="wc", description="counts", retries=2),),
            name="loop",
            until="true",
            forward=True,
            description="twice",
        ),
        Condition(
            "false",
            (),
            (Step(DOES, name="wc-2", description="counts", retries=2),),
            name="condition",
        ),
    )


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", ".a", "a/b", "a:b", "a\nb", "\x1b[0m", "x" * 101, 1]
)
def test_a_bad_name_given_by_hand_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match="is not a step's name"):
        named([Step(DOES, name=name)])


@pytest.mark.parametrize("name", ["x" * 100, "Überprüfung", "a.b", "two words", "2", "<&>"])
def test_a_good_name_is_kept_as_it_is(name: str) -> None:
    assert names(Step(DOES, name=name)) == [name]


def test_an_agents_name_that_no_step_can_have_is_made_to_fit() -> None:
    assert names(*(Step(Agent(name=name)) for name in ("a/b:c", " . .x ", "y" * 200, "..."))) == [
        *("a-b-c", "x", "y" * 100, "agent")
    ]


def test_numbered_names_are_no_longer_than_others() -> None:
    found = names(*[Step(DOES, name="x" * 100)] * 11)
    assert [len(str(name)) for name in found] == [100] * 11
    assert len(set(found)) == 11


@pytest.mark.parametrize("nodes", [None, "steps", 3, {"a": 1}, [Agent()], [Steps([3])], [[]]])  # type: ignore[list-item]
def test_what_is_no_part_of_a_workflow_is_refused(nodes: Any) -> None:
    with pytest.raises(UsageError, match="of a workflow"):
        named(nodes)
