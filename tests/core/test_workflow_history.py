"""What steps are told of earlier executions, in Python: the workflow's, and an agent's own."""

from typing import Any

import pytest

from clew.core import Agent
from clew.core.lines import RunLine
from clew.core.steps import Step, StepInput
from clew.core.store import Store
from clew.core.workflow import Workflow
from tests.workflows import Told, says, wrong_with


def asked(store: Store | None, workflow: Workflow, *inputs: str, **how: Any) -> RunLine:
    """Ask it all of this, one after the other; return the last line."""
    lines = [workflow.run(text, session_id="s", store=store, **how).line for text in inputs]
    assert store is None or wrong_with(store) == []
    return lines[-1]


def block(*pairs: tuple[str, str]) -> str:
    shown = "".join(
        f"[Workflow Run-{number}]\nUser input: {said}\nWorkflow output: {answer}\n\n"
        for number, (said, answer) in enumerate(pairs, 1)
    )
    return f"<workflow_history_context>\n{shown}</workflow_history_context>\n\n"


def fails_on_bad(given: StepInput) -> str:
    assert given.input != "bad"
    return given.content


def test_steps_are_told_the_last_completed_executions_oldest_first(store: Store) -> None:
    """W3."""
    model = Told("x")
    workflow = Workflow(
        name="w",
        steps=[fails_on_bad, Agent(model, name="a")],
        add_workflow_history_to_steps=True,
    )
    asked(store, workflow, "one", "two", "bad", "three", "four", "five")
    told = [("two", "x"), ("three", "x"), ("four", "x")]
    assert model.asked[:2] == ["one", block(("one", "x")) + "two"]
    assert model.asked[-1] == block(*told) + "five"


@pytest.mark.parametrize(("most", "told"), [(0, []), (1, [("two", "x")])])
def test_so_many_executions_are_told_as_the_workflow_says(
    store: Store, most: int, told: list[tuple[str, str]]
) -> None:
    """W3."""
    model = Told("x")
    workflow = Workflow(
        name="w",
        steps=[Agent(model, name="a")],
        add_workflow_history_to_steps=True,
        num_history_runs=most,
    )
    asked(store, workflow, "one", "two", "three")
    assert model.asked[-1] == (block(*told) if told else "") + "three"


def test_a_step_says_otherwise_than_the_workflow_both_ways(store: Store) -> None:
    on, off, less = Told("x"), Told("y"), Told("z")
    steps = [
        Step(Agent(on, name="on"), add_workflow_history=True),
        Step(Agent(off, name="off"), add_workflow_history=False),
        Step(Agent(less, name="less"), num_history_runs=1),
    ]
    asked(store, Workflow(name="w", steps=steps), "one", "two")
    assert [told.asked[-1] for told in (off, less)] == ["x", "y"]
    assert on.asked[-1] == block(("one", "z")) + "two"
    more = Workflow(name="w", steps=steps, add_workflow_history_to_steps=True)
    asked(store, more, "three")
    assert off.asked[-1] == "x"
    assert less.asked[-1] == block(("two", "z")) + "y"


def test_a_call_says_otherwise_than_the_workflow(store: Store) -> None:
    model = Told("x")
    workflow = Workflow(name="w", steps=[Agent(model, name="a")])
    asked(store, workflow, "one")
    asked(store, workflow, "two", add_history_to_context=True)
    asked(store, workflow, "three")
    assert model.asked == ["one", block(("one", "x")) + "two", "three"]


def test_the_history_is_not_in_the_workflow_s_own_line(store: Store) -> None:
    workflow = Workflow(
        name="w", steps=[Agent(Told("x"), name="a")], add_workflow_history_to_steps=True
    )
    line = asked(store, workflow, "one", "two")
    assert [message["content"] for message in line["messages"]] == ["two", "x"]
    assert line["steps"][0]["input"] == "two"


def test_an_agent_in_a_step_has_its_own_history_if_it_wants_it(store: Store) -> None:
    """Of the step's agent, and of no other: what it was asked and said in earlier executions."""
    remembers, other = Told("mine"), Told("yours")
    steps = [
        Agent(remembers, name="remembers", add_history_to_context=True),
        Agent(other, name="other"),
    ]
    asked(store, Workflow(name="w", steps=steps), "one", "two")
    assert [message["content"] for message in remembers.sent[-1]] == ["one", "mine", "two"]
    assert len(other.sent[-1]) == 1


def test_a_workflow_in_a_step_is_told_of_its_own_executions(store: Store) -> None:
    model = Told("deep")
    inner = Workflow(
        name="inner", steps=[Agent(model, name="a")], add_workflow_history_to_steps=True
    )
    asked(store, Workflow(name="w", steps=[says("given"), inner, says("end")]), "one", "two")
    assert model.asked[-1] == block(("given", "deep")) + "given"


def test_without_a_store_there_is_no_history_and_every_step_runs() -> None:
    """W5."""
    model = Told("x")
    workflow = Workflow(
        name="w", steps=[Agent(model, name="a"), says("end")], add_workflow_history_to_steps=True
    )
    line = asked(None, workflow, "one", "two")
    assert (line["content"], model.asked) == ("end", ["one", "two"])
