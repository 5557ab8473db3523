"""The state in a workflow, in Python: through steps, into the next run, and of steps at once."""

import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent
from clew.core.lines import State
from clew.core.steps import Condition, Loop, Parallel, Router, Step, StepFunction, StepInput, Steps
from clew.core.store import Store
from clew.core.tools import RunContext
from clew.core.workflow import Workflow
from clew.stores import JsonlStore
from tests.workflows import Told, adds, content, ran, says, sh, step

CLEW = shlex.join([sys.executable, "-m", "clew.cli"])
"""The command, for steps that are commands of a process without it."""


def sets(**state: Any) -> StepFunction:
    """A step that says so in the state."""

    def take(given: StepInput) -> None:
        given.session_state.update(state)

    return take


def sees(given: StepInput) -> State:
    return given.session_state


def test_what_a_step_changes_later_ones_see_and_so_does_the_next_run(store: Store) -> None:
    """W16."""
    steps = [
        Step(adds("n"), name="first"),
        Condition(".session_state.n == 1", [Step(says("new"))], [Step(says("old"))], name="c"),
        Router('if .session_state.n == 1 then "a" else "b" end', [say("a"), say("b")], name="r"),
        Step(content, input=".session_state.n", name="told"),
    ]
    line = ran(store, *steps)
    assert (step(line, "c")["chosen"], step(line, "r")["chosen"]) == (["then"], ["a"])
    assert (line["content"], line["session_state"]) == ("1", {"n": 1})
    line = ran(store, *steps)
    assert (step(line, "c")["chosen"], step(line, "r")["chosen"]) == (["else"], ["b"])
    assert (line["content"], line["session_state"]) == ("2", {"n": 2})
    assert line["state_patch"] == {"n": 2}


def say(name: str) -> Step:
    return Step(says(name), name=name)


def test_a_function_may_change_the_state_in_the_context_of_its_run(store: Store) -> None:
    def count(given: StepInput, run_context: RunContext) -> str:
        run_context.session_state["n"] = 7
        return ""

    assert ran(store, count, sees)["data"] == {"n": 7}


def test_a_function_that_fails_changes_nothing(store: Store) -> None:
    def fails(given: StepInput) -> str:
        given.session_state["n"] = 7
        raise ValueError

    assert ran(store, Step(fails, on_error="skip"), sees)["session_state"] == {}


def test_conditions_and_routes_that_are_functions_may_change_the_state(store: Store) -> None:
    def holds(given: StepInput) -> bool:
        given.session_state["asked"] = True
        return True

    def route(given: StepInput) -> str:
        given.session_state["routed"] = True
        return "a"

    line = ran(store, Condition(holds, [say("x")]), Router(route, [say("a")]), sees)
    assert line["session_state"] == {"asked": True, "routed": True}
    assert line["data"] == line["session_state"]


def test_a_workflow_s_state_begins_a_session_and_a_call_adds_to_it(store: Store) -> None:
    workflow = Workflow(name="w", steps=[sees], session_state={"n": 1, "m": 1})
    line = workflow.run("go", session_id="s", store=store, session_state={"m": 2}).line
    assert line["data"] == {"n": 1, "m": 2} == line["session_state"]
    line = workflow.run("go", session_id="s", store=store).line
    assert line["data"] == {"n": 1, "m": 2}


def test_steps_at_once_begin_with_the_same_state_and_what_they_change_is_merged(
    store: Store,
) -> None:
    gate = threading.Barrier(3)

    def counts(name: str) -> StepFunction:
        def count(given: StepInput) -> State:
            gate.wait(30)
            given.session_state[name] = given.session_state["n"] + 1
            return given.session_state

        return count

    names = ["a", "b", "c"]
    parallel = Parallel([Step(counts(name), name=name) for name in names], name="p")
    line = ran(store, parallel, sees, session_state={"n": 1})
    assert line["session_state"] == {"n": 1, "a": 2, "b": 2, "c": 2} == line["data"]
    assert [step(line, f"p/{name}")["data"] for name in names] == [{"n": 1, n: 2} for n in names]
    assert "state_conflicts" not in line


def test_where_steps_at_once_differ_the_later_one_holds_and_that_is_on_record(
    store: Store,
) -> None:
    first = threading.Event()

    def late(given: StepInput) -> None:
        assert first.wait(30)
        given.session_state["who"] = {"name": "a", "x": 1}

    def early(given: StepInput) -> None:
        given.session_state["who"] = {"name": "b"}
        first.set()

    line = ran(store, Parallel([Step(late, name="a"), Step(early, name="b")], name="p"), sees)
    assert line["session_state"] == {"who": {"name": "b", "x": 1}} == line["data"]
    assert line["state_conflicts"] == [{"path": ["who", "name"], "steps": ["p/a", "p/b"]}]


def test_a_branch_sees_what_it_changed_itself_and_not_what_others_did(store: Store) -> None:
    changed = threading.Event()

    def reads(given: StepInput) -> State:
        assert changed.wait(30)
        return given.session_state

    one = Steps([Step(sets(a=1)), Step(sees, name="one"), Step(lambda _: changed.set())], name="x")
    two = Steps([Step(reads, name="two")], name="y")
    line = ran(store, Parallel([one, two], name="p"))
    assert step(line, "p/x/one")["data"] == {"a": 1}
    assert step(line, "p/y/two")["data"] == {}


def test_steps_at_once_inside_steps_at_once_merge_too(store: Store) -> None:
    inner = Parallel([Step(sets(a=1), name="a"), Step(sets(b=2), name="b")], name="inner")
    group = Steps([inner, Step(sees, name="seen")], name="g")
    line = ran(store, Parallel([group, Step(sets(b=3), name="c")], name="p"))
    assert step(line, "p/g/seen")["data"] == {"a": 1, "b": 2}
    assert line["session_state"] == {"a": 1, "b": 3}
    assert line["state_conflicts"] == [{"path": ["b"], "steps": ["p/g", "p/c"]}]


def test_a_key_that_a_branch_takes_away_is_gone(store: Store) -> None:
    def removes(given: StepInput) -> None:
        del given.session_state["n"]

    parallel = Parallel([Step(removes, name="a"), Step(sets(m=1), name="b")], name="p")
    assert ran(store, parallel, session_state={"n": 1})["session_state"] == {"m": 1}


def test_runs_at_once_begin_with_the_same_state_and_what_they_change_is_merged(
    store: Store,
) -> None:
    inner = [Workflow(name=name, steps=[adds("n"), sets(**{name: 1}), sees]) for name in "ab"]
    line = ran(store, Parallel([Step(each) for each in inner], name="p"), sees)
    assert [step(line, f"p/{name}")["data"] for name in "ab"] == [
        {"n": 1, name: 1} for name in "ab"
    ]
    assert line["session_state"] == {"n": 1, "a": 1, "b": 1} == line["data"]
    assert line["state_conflicts"] == [{"path": ["n"], "steps": ["p/a", "p/b"]}]


def test_steps_at_once_that_count_up_from_the_same_number_are_on_record(store: Store) -> None:
    counting = [Step(adds("n"), name=name) for name in "abc"]
    line = ran(store, Parallel(counting, name="p"), session_state={"n": 0})
    assert line["session_state"] == {"n": 1}
    assert line["state_conflicts"] == [{"path": ["n"], "steps": ["p/a", "p/b", "p/c"]}]


def test_an_agent_that_changes_the_state_does_so_for_the_workflow(store: Store) -> None:
    agent = Agent(Told(), name="a", instructions="n is {n}", add_session_state_to_context=True)
    line = ran(store, sets(n=5), says("x"), agent)
    assert line["status"] == "COMPLETED", line["error"]
    assert "n is 5" in str(agent.model.sent)  # type: ignore[union-attr]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JsonlStore:
    """A store that commands of steps find."""
    monkeypatch.setenv("CLEW_HOME", str(tmp_path / "home"))
    return JsonlStore(str(tmp_path / "home"))


def clew(command: str, **more: Any) -> Step:
    return Step(sh(f"{CLEW} {command}"), **more)


def test_a_command_sees_and_changes_the_state_of_its_run(kept: JsonlStore) -> None:
    line = ran(kept, sets(n=1), clew("state set n:=2 m:=3"), clew("state get n"), sees)
    assert line["steps"][2]["content"] == "2", line["error"]
    assert line["data"] == {"n": 2, "m": 3} == line["session_state"]


def test_commands_at_once_change_the_state_each_for_its_branch(kept: JsonlStore) -> None:
    """Each key that two of them change is told, and the one that came later holds."""
    a = Steps([clew("state set who=a a:=1", name="set-a"), Step(sees, name="sees-a")], name="a")
    b = Steps([clew("state set who=b b:=1", name="set-b"), Step(sees, name="sees-b")], name="b")
    line = ran(kept, sets(n=1), Parallel([a, b], name="p"), sees)
    assert step(line, "p/a/sees-a")["data"] == {"n": 1, "who": "a", "a": 1}, line["error"]
    assert step(line, "p/b/sees-b")["data"] == {"n": 1, "who": "b", "b": 1}
    last = [one["state_patch"]["who"] for one in changes_of(kept, "who")][-1]
    assert line["session_state"] == {"n": 1, "who": last, "a": 1, "b": 1} == line["data"]
    assert line["state_conflicts"] == [{"path": ["who"], "steps": ["p/a", "p/b"]}]


def changes_of(store: JsonlStore, key: str) -> list[Any]:
    """The lines in which commands changed a key, in their order."""
    lines: list[Any] = list(store.session("s", "default").lines())
    return [one for one in lines if one["type"] == "state" and key in (one["state_patch"] or {})]


@pytest.mark.parametrize("slow", ["a", "b"])
def test_what_commands_at_once_count_up_is_counted(kept: JsonlStore, slow: str) -> None:
    up = {name: clew("state update '.n += 1'", name=name) for name in ("a", "b")}
    parts = [
        Steps([clew("state set waited=1; sleep 0.5", name="w"), up[name]], name=f"{name}-s")
        if name == slow
        else up[name]
        for name in ("a", "b")
    ]
    line = ran(kept, sets(n=0), Parallel(parts, name="p"))
    assert line["session_state"]["n"] == 2
    assert [each["path"] for each in line["state_conflicts"]] == [["n"]]


def test_a_loop_carries_the_state_on(store: Store) -> None:
    loop = Loop([Step(adds("n"))], until=".session_state.n == 3", max_iterations=9, name="l")
    line = ran(store, loop)
    assert (step(line, "l")["iterations"], line["session_state"]) == (3, {"n": 3})


def test_a_state_that_no_json_holds_is_a_failure_of_the_step(store: Store) -> None:
    line = ran(store, Step(sets(x=object()), name="odd"))
    assert (line["status"], line["session_state"]) == ("ERROR", {})
    assert line["error"] is not None and "'odd' failed" in line["error"]["message"]


def test_a_command_that_is_a_condition_or_a_route_sees_the_state_as_it_is(kept: JsonlStore) -> None:
    asks = sh(f"{CLEW} state get n")
    either = Condition(sh(f"test $({CLEW} state get n) = 1"), [say("then")], [say("else")])
    line = ran(kept, sets(n=1), either, Router(asks, [say("1"), say("2")], name="r"))
    assert (line["steps"][1]["chosen"], step(line, "r")["chosen"]) == (["then"], ["1"])
