"""Which earlier executions the steps of a workflow are told, as options and definition say."""

import re

import pytest

from tests.conftest import Clew
from tests.flows import flows


def sent(clew: Clew) -> list[str]:
    """What the steps' runs of the session asked their models, oldest first."""
    runs = [line for line in clew.stored("s") if line["type"] == "run" and line["kind"] == "agent"]
    return [line["messages"][0]["content"] for line in runs]


def told(text: str) -> list[str]:
    """The inputs of the executions that a step is told, oldest first."""
    return re.findall(r"User input: (.*)\n", text)


@pytest.fixture
def begun(clew: Clew) -> Clew:
    """A session `s` with two executions of a workflow that asks a model."""
    answers = [(word, f"{word}!") for word in ("first", "second", "third", "fourth")]
    flows(
        clew,
        f"""
        model = {clew.recording(*answers)!r}
        talk = Step(Agent(), name="talk")
        it = Workflow(steps=[talk], model=model)
        on = Workflow(steps=[talk], model=model, add_workflow_history_to_steps=True)
        off = Workflow(steps=[talk], model=model, add_workflow_history_to_steps=False)
        two = Workflow(model=model, steps=[
            Step(Agent(), name="never", add_workflow_history=False),
            Step(Agent(), name="always", add_workflow_history=True, input=".input"),
        ])
        """,
    )
    for word in ("first", "second"):
        clew("run", "-q", "-s", "s", "--workflow", "flows:it", word)
    return clew


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("run", "--workflow", "flows:it"), []),
        (("run", "--workflow", "flows:on"), ["first", "second"]),
        (("run", "--workflow", "flows:on", "--no-history"), []),
        (("run", "--workflow", "flows:it", "--history"), ["first", "second"]),
        (("run", "--workflow", "flows:it", "--history-runs", "1"), ["second"]),
        (("continue",), ["first", "second"]),
        (("continue", "--no-history"), []),
        (("continue", "--history-runs", "1"), ["second"]),
        (("continue", "--workflow", "flows:off"), []),
        (("continue", "--workflow", "flows:off", "--history"), ["first", "second"]),
    ],
    ids=" ".join,
)
def test_steps_are_told_what_options_and_definition_say(
    begun: Clew, command: tuple[str, ...], expected: list[str]
) -> None:
    begun(command[0], "-q", "-s", "s", *command[1:], "third")
    assert told(sent(begun)[-1]) == expected


def test_what_a_step_says_of_history_goes_before_the_option(begun: Clew) -> None:
    begun("run", "-q", "-s", "s", "--workflow", "flows:two", "--no-history", "third")
    begun("run", "-q", "-s", "s", "--workflow", "flows:two", "--history", "fourth")
    never_third, always_third, never_fourth, always_fourth = sent(begun)[2:]
    assert told(always_third) == ["first", "second"]
    assert told(always_fourth) == ["first", "second", "third"]
    assert (never_third, never_fourth) == ("third", "fourth")


def test_an_execution_that_failed_is_not_told(begun: Clew) -> None:
    begun("continue", "-q", "-s", "s", "nobody knows this", code=1)
    begun("continue", "-q", "-s", "s", "third")
    assert told(sent(begun)[-1]) == ["first", "second"]
