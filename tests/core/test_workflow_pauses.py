"""Workflows that wait for somebody, in Python: for a yes, a look, values, a choice."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent, Invocation
from clew.core.approvals import Answers, Settlement, confirm_all, reject_all
from clew.core.errors import Cancelled, UsageError
from clew.core.lines import RunLine
from clew.core.records import Requirement
from clew.core.steps import (
    Command,
    Loop,
    Parallel,
    Pause,
    Router,
    Step,
    StepInput,
    Steps,
)
from clew.core.tools import ToolSpec
from clew.core.workflow import Workflow
from clew.stores import JsonlStore
from tests.workflows import (
    Told,
    adds,
    content,
    contents,
    fails,
    open_pauses,
    says,
    statuses,
    step,
    trace,
    traced,
    wrong_with,
)

WORDS: dict[str, Any] = {
    "type": "object",
    "properties": {"tone": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["tone", "n"],
}


class Flows:
    """A workflow in a session, called as by processes that come after each other."""

    def __init__(self, home: Path, *steps: Any, **more: Any) -> None:
        self.home = str(home)
        self.store = JsonlStore(self.home)
        self.workflow = Workflow(steps=steps, name="w", **more)

    def run(self, input: str = "go", **how: Any) -> RunLine:
        line = self.workflow.invoke(input, self._how(**how)).line
        assert wrong_with(self.store) == []
        return line

    def settle(self, before: RunLine, **answers: Any) -> RunLine:
        """Settle what a run waits for, and go on with it."""
        return self.run("", resume=before["run_id"], answers=Answers(**answers))

    def _how(self, **how: Any) -> Invocation:
        return replace(Invocation(store=JsonlStore(self.home), session_id="s"), **how)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture
def flows(tmp_path: Path) -> Callable[..., Flows]:
    return lambda *steps, **more: Flows(tmp_path / "home", *steps, **more)


def waits(line: RunLine) -> list[tuple[str, str, str]]:
    """What a run waits for: id, kind and step."""
    assert (line["status"], line["exit_code"]) == ("PAUSED", 6), line["error"]
    return [(one["tool_call_id"], one["kind"], one["tool_name"]) for one in open_pauses(line)]


def asking(file: Path, **pause: Any) -> list[Step]:
    """Three steps of which the second has somebody asked."""
    second = replace(traced(file, "two"), pause=Pause(**pause))
    return [traced(file, "one"), second, traced(file, "three")]


def test_a_step_that_needs_a_yes_waits_for_it_and_nothing_is_done_twice(
    flows: Callable[..., Flows], file: Path
) -> None:
    """W17."""
    flow = flows(*asking(file, confirmation=True, message="sure?"))
    before = flow.run()
    assert waits(before) == [("two", "confirm", "two")]
    assert before["requirements"][0]["message"] == "sure?"
    assert statuses(before) == {"one": "COMPLETED", "two": "PAUSED"}
    line = flow.settle(before, confirm=("two",))
    assert (line["status"], line["content"]) == ("COMPLETED", "three")
    assert trace(file) == ["one", "two", "three"]
    assert [one["decision"] for one in line["requirements"]] == ["confirmed"]
    assert step(line, "two")["attempts"] == 1


def test_who_says_no_has_the_step_left_out(flows: Callable[..., Flows], file: Path) -> None:
    """W17."""
    flow = flows(*asking(file, confirmation=True))
    line = flow.settle(flow.run(), reject=("two",), note="not today")
    assert (line["status"], line["content"]) == ("COMPLETED", "three")
    assert statuses(line) == {"one": "COMPLETED", "two": "SKIPPED", "three": "COMPLETED"}
    assert step(line, "three")["input"] == "one"
    assert trace(file) == ["one", "three"]
    assert line["requirements"][0]["note"] == "not today"


def test_who_says_no_has_the_workflow_cancelled(flows: Callable[..., Flows], file: Path) -> None:
    """W17."""
    flow = flows(*asking(file, confirmation=True, on_reject="cancel"))
    line = flow.settle(flow.run(), reject=("two",), note="not today")
    assert (line["status"], line["exit_code"]) == ("CANCELLED", 1)
    assert line["error"] is not None
    assert line["error"]["message"] == "step 'two' was not allowed: not today"
    assert statuses(line) == {"one": "COMPLETED", "two": "CANCELLED"}
    assert trace(file) == ["one"]


def test_a_cancelled_workflow_asks_again_when_it_is_gone_on_with(
    flows: Callable[..., Flows], file: Path
) -> None:
    flow = flows(*asking(file, confirmation=True, on_reject="cancel"))
    cancelled = flow.settle(flow.run(), reject=("two",))
    again = flow.run("", resume=cancelled["run_id"])
    assert waits(again) == [("two", "confirm", "two")]
    assert flow.settle(again, confirm=("two",))["status"] == "COMPLETED"
    assert trace(file) == ["one", "two", "three"]


def test_somebody_who_is_there_decides_at_once(flows: Callable[..., Flows], file: Path) -> None:
    flow = flows(*asking(file, confirmation=True, review=True))
    line = flow.run(decide=confirm_all)
    assert (line["status"], trace(file)) == ("COMPLETED", ["one", "two", "three"])
    assert [one["kind"] for one in line["requirements"]] == ["confirm", "review"]
    assert statuses(flow.run(decide=reject_all))["two"] == "SKIPPED"


def test_a_review_that_accepts_hands_on_what_the_step_came_to(
    flows: Callable[..., Flows], file: Path
) -> None:
    flow = flows(*asking(file, review=True))
    before = flow.run()
    assert waits(before) == [("two:review", "review", "two")]
    assert before["requirements"][0]["content"] == "two"
    line = flow.settle(before, confirm=("",))
    assert (line["status"], line["content"]) == ("COMPLETED", "three")
    assert trace(file) == ["one", "two", "three"]
    assert (step(line, "three")["input"], step(line, "two")["input"]) == ("two", "one")


def test_a_review_leaves_the_record_of_the_step_as_it_was(flows: Callable[..., Flows]) -> None:
    asks = Step(content, name="x", input='"what was asked"', pause=Pause(review=True))
    flow = flows(says("one"), asks)
    line = flow.settle(flow.run(), confirm=("x",))
    told = step(line, "x")
    assert (told["input"], told["content"], told["attempts"]) == ("what was asked",) * 2 + (1,)


def test_a_review_may_put_something_else_in_place(flows: Callable[..., Flows], file: Path) -> None:
    flow = flows(*asking(file, review=True))
    line = flow.settle(flow.run(), results={"two": "better"})
    assert contents(line)["two"] == "better" == step(line, "three")["input"]
    assert line["requirements"][0]["decision"] == "supplied"
    assert trace(file) == ["one", "two", "three"]


@pytest.mark.parametrize(("text", "data"), [('{"n": 2}', {"n": 2}), ("none", None)])
def test_a_review_may_put_an_object_in_the_place_of_one(
    flows: Callable[..., Flows], text: str, data: Any
) -> None:
    flow = flows(Step(lambda _: {"n": 1}, name="x", pause=Pause(review=True)))
    line = flow.settle(flow.run(), results={"x": text})
    assert (line["content"], line["data"]) == (text, data)


@pytest.mark.parametrize("on_reject", ["skip", "cancel"])
def test_a_review_may_leave_the_step_out_or_end_the_workflow(
    flows: Callable[..., Flows], file: Path, on_reject: str
) -> None:
    flow = flows(*asking(file, review=True, on_reject=on_reject))
    line = flow.settle(flow.run(), reject=("two",))
    skipped = on_reject == "skip"
    assert line["status"] == ("COMPLETED" if skipped else "CANCELLED")
    assert statuses(line)["two"] == ("SKIPPED" if skipped else "CANCELLED")
    assert trace(file) == (["one", "two", "three"] if skipped else ["one", "two"])


def test_a_review_may_send_a_step_back_with_what_is_to_be_better(
    flows: Callable[..., Flows],
) -> None:
    model = Told(lambda request: f"draft {len(request.messages)}")
    pause = Pause(review=True, on_reject="retry")
    flow = flows(says("topic"), Step(Agent(model, name="a"), pause=pause), content)
    before = flow.run()
    again = flow.settle(before, reject=("a",), note="shorter")
    assert waits(again) == [("a:review", "review", "a")]
    told = "topic\n\nYou had answered:\n\ndraft 1\n\nThat was sent back: shorter"
    assert model.asked == ["topic", told]
    line = flow.settle(again, confirm=("a",))
    assert (line["status"], len(model.sent)) == ("COMPLETED", 2)
    assert step(line, "a")["attempts"] == 2


def test_a_step_that_ends_the_workflow_does_so_after_its_review(
    flows: Callable[..., Flows],
) -> None:
    stops = Step(says("enough"), name="s", stop=True, pause=Pause(review=True))
    flow = flows(stops, says("too late"))
    line = flow.settle(flow.run(), confirm=("s",))
    assert (line["status"], line["content"]) == ("COMPLETED", "enough")


def test_a_step_gets_what_somebody_gives_for_it(flows: Callable[..., Flows]) -> None:
    def tells(given: StepInput) -> str:
        return f"{given.content} {dict(given.user_input)}"

    pause = Pause(user_input=WORDS)
    flow = flows(
        Step(tells, name="f", pause=pause),
        Step(Command(["printenv", "CLEW_USER_INPUT"]), name="c", pause=pause),
        Step(content, name="j", input=".user_input.tone", pause=pause),
    )
    before = flow.run()
    assert waits(before) == [("f", "input", "f")]
    assert [each["name"] for each in before["requirements"][0]["fields"]] == ["tone", "n"]
    with pytest.raises(UsageError):
        flow.settle(before, fields={"tone": "dry", "n": "many"})
    line = before
    for _ in range(3):
        line = flow.settle(line, fields={"tone": "dry", "n": "3"})
    assert line["status"] == "COMPLETED", line["error"]
    assert contents(line)["f"] == "go {'tone': 'dry', 'n': 3}"
    assert contents(line)["c"] == '{"tone": "dry", "n": 3}'
    assert contents(line)["j"] == "dry"


def test_a_step_may_ask_for_a_yes_and_for_values_and_for_a_look(
    flows: Callable[..., Flows], file: Path
) -> None:
    flow = flows(*asking(file, confirmation=True, user_input=WORDS, review=True))
    line = flow.run()
    seen = [waits(line)[0][:2]]
    line = flow.settle(line, confirm=("two",))
    seen += [waits(line)[0][:2]]
    line = flow.settle(line, fields={"tone": "dry", "n": 1})
    seen += [waits(line)[0][:2]]
    line = flow.settle(line, confirm=("two",))
    assert seen == [("two", "confirm"), ("two:input", "input"), ("two:review", "review")]
    assert (line["status"], trace(file)) == ("COMPLETED", ["one", "two", "three"])


def test_somebody_chooses_where_no_route_says(flows: Callable[..., Flows], file: Path) -> None:
    router = Router(None, [traced(file, "short"), traced(file, "long")], name="r")
    flow = flows(traced(file, "one"), router, traced(file, "two"))
    before = flow.run()
    assert waits(before) == [("r", "input", "r")]
    assert [each["name"] for each in before["requirements"][0]["fields"]] == ["choice"]
    line = flow.settle(before, fields={"choice": "long"})
    assert step(line, "r")["chosen"] == ["long"]
    assert trace(file) == ["one", "long", "two"]


def test_a_choice_that_is_none_is_refused_and_may_be_made_again(
    flows: Callable[..., Flows], file: Path
) -> None:
    flow = flows(Router(None, [traced(file, "a"), traced(file, "b")], name="r"))
    before = flow.run()
    with pytest.raises(UsageError, match="choice"):
        flow.settle(before, fields={"choice": "c"})
    line = flow.settle(before, fields={"choice": ["b", "a"]})
    assert (line["status"], trace(file)) == ("COMPLETED", ["b", "a"])


def test_nobody_s_choice_takes_none(flows: Callable[..., Flows]) -> None:
    flow = flows(Router(None, [Step(says("x"), name="a")], name="r"), content)
    line = flow.settle(flow.run(), reject=("r",))
    assert (line["status"], line["content"], statuses(line)["r"]) == ("COMPLETED", "go", "SKIPPED")


def test_a_step_that_failed_may_wait_for_somebody(flows: Callable[..., Flows], file: Path) -> None:
    better = file.with_name("better")
    needs = Step(Command(["test", "-e", str(better)]), name="needs", on_error="pause")
    flow = flows(traced(file, "one"), needs, traced(file, "two"))
    before = flow.run()
    assert waits(before) == [("needs:error", "confirm", "needs")]
    assert "it failed with exit code 1" in before["requirements"][0]["message"]
    again = flow.settle(before, confirm=("needs",))
    assert waits(again) == [("needs:error", "confirm", "needs")]
    better.touch()
    line = flow.settle(again, confirm=("needs",))
    assert (line["status"], trace(file)) == ("COMPLETED", ["one", "two"])
    assert step(line, "needs")["attempts"] == 3
    assert step(line, "needs")["error"] is None


def test_a_step_that_failed_may_be_left_out_by_somebody(flows: Callable[..., Flows]) -> None:
    flow = flows(says("one"), Step(fails, on_error="pause"), content)
    line = flow.settle(flow.run(), reject=("fails",))
    assert (line["status"], line["content"]) == ("COMPLETED", "one")
    assert statuses(line)["fails"] == "SKIPPED"


@pytest.mark.parametrize(
    ("on_timeout", "status", "two"),
    [
        ("skip", "COMPLETED", "SKIPPED"),
        ("cancel", "CANCELLED", "CANCELLED"),
        ("approve", "COMPLETED", "COMPLETED"),
    ],
)
@pytest.mark.parametrize("kind", ["confirmation", "review"])
def test_who_answers_too_late_answers_nothing(
    flows: Callable[..., Flows], file: Path, on_timeout: str, status: str, two: str, kind: str
) -> None:
    flow = flows(*asking(file, **{kind: True}, seconds=0.0, on_timeout=on_timeout))
    before = flow.run()
    assert before["requirements"][0]["on_timeout"] == on_timeout
    line = flow.run("", resume=before["run_id"])
    assert (line["status"], statuses(line)["two"]) == (status, two)
    settled = line["requirements"][0]
    assert settled["note"] == "nobody answered in time"
    assert settled["by"] is None


def test_a_yes_that_comes_while_somebody_is_asked_may_be_too_late(
    flows: Callable[..., Flows], file: Path
) -> None:
    def slowly(_one: Requirement, _spec: ToolSpec) -> Settlement:
        time.sleep(0.05)
        return Settlement("confirmed")

    flow = flows(*asking(file, confirmation=True, seconds=0.02, on_timeout="cancel"))
    line = flow.run(decide=slowly)
    assert (line["status"], statuses(line)["two"]) == ("CANCELLED", "CANCELLED")
    assert line["requirements"][0]["by"] is None


def test_a_choice_that_nobody_makes_in_time_is_none(flows: Callable[..., Flows]) -> None:
    pause = Pause(seconds=0.0, on_timeout="skip")
    flow = flows(Router(None, [Step(says("x"), name="a")], name="r", pause=pause), content)
    line = flow.run("", resume=flow.run()["run_id"])
    assert (line["status"], line["content"], statuses(line)["r"]) == ("COMPLETED", "go", "SKIPPED")


def test_a_workflow_without_an_answer_goes_on_waiting(
    flows: Callable[..., Flows], file: Path
) -> None:
    flow = flows(*asking(file, confirmation=True))
    before = flow.run()
    with pytest.raises(UsageError, match="waits for two"):
        flow.run("", resume=before["run_id"])
    with pytest.raises(UsageError):
        flow.settle(before, confirm=("three",))
    assert trace(file) == ["one"]


def test_steps_inside_containers_wait_too_and_others_at_once_are_done_once(
    flows: Callable[..., Flows], file: Path
) -> None:
    asks = replace(traced(file, "asks"), pause=Pause(confirmation=True))
    late = replace(traced(file, "late"), pause=Pause(review=True))
    parallel = Parallel([Steps([traced(file, "a"), asks], name="g"), late], name="p")
    flow = flows(parallel, traced(file, "end"))
    before = flow.run()
    assert sorted(waits(before)) == [
        ("p/g/asks", "confirm", "asks"),
        ("p/late:review", "review", "late"),
    ]
    half = flow.settle(before, confirm=("p/g/asks",))
    assert waits(half) == [("p/late:review", "review", "late")]
    line = flow.settle(half, confirm=("late",))
    assert line["status"] == "COMPLETED"
    assert sorted(trace(file)) == ["a", "asks", "end", "late"]
    assert line["steps"][0]["content"] == "## g\nasks\n\n## late\nlate"


def test_a_loop_that_waits_goes_on_in_its_iteration(
    flows: Callable[..., Flows], file: Path
) -> None:
    """Also where its condition holds meanwhile."""
    asks = replace(traced(file, "asks"), pause=Pause(confirmation=True))
    loop = Loop([Step(adds("n")), asks], until=".session_state.n >= 2", max_iterations=9, name="l")
    flow = flows(loop)
    line = flow.run()
    assert waits(line) == [("l/1/asks", "confirm", "asks")]
    line = flow.settle(line, confirm=("",))
    assert waits(line) == [("l/2/asks", "confirm", "asks")]
    line = flow.settle(line, confirm=("",))
    assert (line["status"], trace(file)) == ("COMPLETED", ["asks", "asks"])
    assert (line["session_state"], step(line, "l")["iterations"]) == ({"n": 2}, 2)


def test_a_workflow_inside_waits_and_goes_on_with_the_one_around_it(
    flows: Callable[..., Flows], file: Path
) -> None:
    inner = Workflow(name="inner", steps=asking(file, confirmation=True))
    flow = flows(traced(file, "zero"), inner, traced(file, "last"))
    before = flow.run()
    assert waits(before) == [("two", "confirm", "two")]
    assert before["requirements"][0]["inside"]["name"] == "inner"
    line = flow.settle(before, confirm=("inner/two",))
    assert line["status"] == "COMPLETED", line["error"]
    assert trace(file) == ["zero", "one", "two", "three", "last"]


def test_a_state_changed_before_a_pause_is_kept_over_it(flows: Callable[..., Flows]) -> None:
    ask = Step(content, name="x", input=".session_state.n", pause=Pause(confirmation=True))
    flow = flows(Step(adds("n")), ask)
    before = flow.run()
    assert before["session_state"] == {"n": 1}
    assert flow.settle(before, confirm=("x",))["content"] == "1"


def test_a_review_that_ended_the_workflow_is_asked_for_again_and_its_step_not_run(
    flows: Callable[..., Flows], file: Path
) -> None:
    pause = Pause(review=True, on_reject="cancel")
    flow = flows(replace(traced(file, "two"), pause=pause))
    refused = flow.settle(flow.run(), reject=("two",))
    again = flow.run("", resume=refused["run_id"])
    assert waits(again) == [("two:review", "review", "two")]
    assert flow.settle(again, confirm=("two",))["status"] == "COMPLETED"
    assert trace(file) == ["two"]


def test_a_step_that_is_left_out_after_it_failed_tells_why(flows: Callable[..., Flows]) -> None:
    flow = flows(Step(fails, name="two", on_error="pause"), says("done"))
    line = flow.settle(flow.run(), reject=("two",))
    error = step(line, "two")["error"]
    assert (step(line, "two")["status"], error and error["kind"]) == ("SKIPPED", "step")
    assert error is not None and "the paper is out" in error["message"]


def test_a_step_that_failed_and_is_not_yet_settled_still_tells_why(
    flows: Callable[..., Flows],
) -> None:
    one, two = (Step(fails, name=name, on_error="pause") for name in ("one", "two"))
    flow = flows(Parallel([one, two]))
    before = flow.settle(flow.run(), reject=("one",))
    assert waits(before) == [("parallel/two:error", "confirm", "two")]
    line = flow.settle(before, reject=("two",))
    for error in (step(each, "parallel/two")["error"] for each in (before, line)):
        assert error is not None and "the paper is out" in error["message"]


def test_who_is_stopped_at_a_review_is_asked_again_and_nothing_runs_again(
    flows: Callable[..., Flows], file: Path
) -> None:
    def stopped(_requirement: Requirement, _spec: ToolSpec) -> Settlement:
        raise Cancelled(2)

    flow = flows(replace(traced(file, "two"), pause=Pause(review=True)))
    with pytest.raises(Cancelled):
        flow.run(decide=stopped)
    [before] = flow.store.session("s", "default").lines()
    assert before["type"] == "run" and before["status"] == "CANCELLED"
    again = flow.run("", resume=before["run_id"])
    assert waits(again) == [("two:review", "review", "two")]
    assert flow.settle(again, confirm=("two",))["content"] == "two"
    assert trace(file) == ["two"]
