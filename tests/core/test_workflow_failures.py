"""Steps that fail, in Python: what a workflow says then, and how it is gone on with."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent, Invocation, Limits, Team
from clew.core.errors import Cancelled, ProviderDown, RequestRefused, UsageError
from clew.core.lines import RunLine
from clew.core.model import ModelRequest
from clew.core.steps import Command, Loop, Node, Parallel, Step, StepInput, StepOutput, Steps
from clew.core.store import Store
from clew.core.workflow import Workflow
from tests.workflows import (
    Told,
    adds,
    content,
    contents,
    fails,
    ran,
    says,
    sh,
    statuses,
    step,
    trace,
    traced,
    wrong_with,
)


def resumed(store: Store, before: RunLine, *steps: Any, **more: Any) -> RunLine:
    """Go on with a run by a workflow of these steps."""
    how = Invocation(store=store, session_id="s", resume=before["run_id"])
    line = Workflow(steps=steps, name="w", **more).invoke("", how).line
    assert wrong_with(store) == []
    return line


def refusing(_request: ModelRequest) -> str:
    raise RequestRefused("the model does not like that")


def test_a_step_that_fails_ends_the_run_and_keeps_what_was_done(store: Store) -> None:
    """W6."""
    line = ran(store, says("one"), fails, Step(says("three"), name="after"))
    assert (line["status"], line["exit_code"]) == ("ERROR", 1)
    assert statuses(line) == {"function": "COMPLETED", "fails": "ERROR"}
    assert contents(line) == {"function": "one", "fails": ""}
    error = line["error"]
    assert error is not None
    assert error["message"] == "step 'fails' failed: ValueError: the paper is out"
    assert (error["kind"], error["retryable"]) == ("step", False)
    assert step(line, "fails")["error"] == error
    assert line["content"] == ""


@pytest.mark.parametrize(
    ("does", "told"),
    [
        (Command(["false"]), "failed with exit code 1"),
        (sh("echo oh no >&2; exit 3"), "failed with exit code 3: oh no"),
        (sh("kill -TERM $$"), "it was ended by SIGTERM"),
        (Command(["./nowhere"]), "cannot run './nowhere': No such file or directory"),
        (Command(["echo", "no"], json=True), "its output is not JSON: "),
        (Command(["true"], files=["nowhere.png"]), "nowhere.png"),
        (Command(["sleep", "60"], seconds=0.05), "it took longer than 0.05 s and was ended"),
        (Agent(Told(refusing), name="a"), "the model does not like that"),
        (lambda _: StepOutput("x", data=float("nan")), ""),
        (lambda _: object(), ""),
        (lambda _: StepOutput(files=["nowhere.png"]), "nowhere.png"),
    ],
)
def test_what_a_step_failed_of_is_told(store: Store, does: Any, told: str) -> None:
    line = ran(store, Step(does, name="x"), content)
    assert line["status"] == "ERROR" and line["error"] is not None
    assert line["error"]["message"].startswith("step 'x' failed")
    assert told in line["error"]["message"]
    assert statuses(line) == {"x": "ERROR"}


def test_a_step_that_may_be_left_out_is(store: Store) -> None:
    """W6."""
    line = ran(store, says("one"), Step(fails, on_error="skip"), content)
    assert (line["status"], line["exit_code"], line["content"]) == ("COMPLETED", 0, "one")
    left_out = step(line, "fails")
    assert left_out["status"] == "SKIPPED"
    assert left_out["error"] is not None and "the paper" in left_out["error"]["message"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Step(fails, **dict[str, Any](on_error="skipp")), "on_error"),
        (Step(content, input=".steps.nope.content"), "there is no step 'nope'"),
        (Loop([Step(content)], max_iterations=0), "max_iterations"),
    ],
    ids=["word", "name", "count"],
)
def test_nothing_runs_where_a_step_is_known_to_be_wrong(
    store: Store, tmp_path: Path, wrong: Node, told: str
) -> None:
    file = tmp_path / "trace"
    with pytest.raises(UsageError, match=told):
        ran(store, traced(file, "first"), wrong)
    assert trace(file) == []
    assert list(store.session("s", "default").lines()) == []


def test_the_error_of_an_agent_is_never_handed_on_as_content(store: Store) -> None:
    """W7."""
    model = Told()
    failing = Step(Agent(Told(refusing), name="a"), on_error="skip")
    line = ran(store, says("one"), failing, Agent(model, name="b"))
    assert model.asked == ["one"]
    assert (line["status"], line["content"]) == ("COMPLETED", "<one>")
    runs = [each for each in store.session("s", "default").lines() if each["type"] == "run"]
    assert [each["status"] for each in runs] == ["ERROR", "COMPLETED", "COMPLETED"]


def test_a_later_step_can_tell_that_one_was_left_out(store: Store) -> None:
    line = ran(
        store,
        Step(fails, on_error="skip"),
        Step(content, input=".steps.fails | [.status, .error.kind]"),
    )
    assert line["content"] == '["SKIPPED", "step"]'


def flaky(kind: Callable[[], Exception], times: int) -> Callable[[StepInput], str]:
    """A step that fails so often, and then does not."""
    left = [times]

    def step(_given: StepInput) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise kind()
        return "at last"

    return step


@pytest.mark.parametrize(
    ("kind", "retries", "attempts", "status"),
    [
        (lambda: ProviderDown("away"), 1, 2, "COMPLETED"),
        (lambda: ConnectionError("away"), 1, 2, "COMPLETED"),
        (lambda: ProviderDown("away"), 0, 1, "ERROR"),
        (lambda: ValueError("wrong"), 1, 1, "ERROR"),
        (lambda: UsageError("wrong"), 1, 1, "ERROR"),
    ],
)
def test_only_what_may_pass_is_tried_again_and_only_where_that_is_said(
    store: Store, kind: Callable[[], Exception], retries: int, attempts: int, status: str
) -> None:
    line = ran(store, Step(flaky(kind, 1), name="x", retries=retries))
    assert (line["status"], step(line, "x")["attempts"]) == (status, attempts)


def test_a_command_that_says_that_it_may_pass_is_tried_again(store: Store, tmp_path: Path) -> None:
    for code, attempts in ((75, 2), (69, 2), (1, 1)):
        script = 'echo x >> "$1"; test "$(wc -l < "$1")" -gt 1 || exit "$2"'
        command = sh(script, str(tmp_path / f"seen{code}"), str(code))
        assert step(ran(store, Step(command, name="x", retries=1)), "x")["attempts"] == attempts


def test_an_agent_is_tried_again_and_each_run_of_it_counts_once(store: Store) -> None:
    times = iter(["no", "yes"])

    def now_and_then(_request: ModelRequest) -> str:
        if next(times) == "no":
            raise ProviderDown("away")
        return "here"

    line = ran(
        store, Step(Agent(Told(now_and_then), name="a", limits=Limits(retries=0)), retries=1)
    )
    assert (line["status"], line["content"]) == ("COMPLETED", "here")
    runs = [each for each in store.session("s", "default").lines() if each["type"] == "run"]
    assert [each["status"] for each in runs] == ["ERROR", "COMPLETED", "COMPLETED"]
    assert runs[1]["resumes"] == runs[0]["run_id"]
    assert step(line, "a")["run_id"] == runs[1]["run_id"]
    assert line["total_metrics"]["total_tokens"] == 3


def test_a_failed_run_goes_on_at_the_step_that_failed(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    better = tmp_path / "better"
    needs = Step(sh('echo needs >> "$1"; test -e "$2"', str(file), str(better)), name="needs")
    steps = [traced(file, "one"), Steps([traced(file, "two"), needs], name="g"), traced(file, "x")]
    before = ran(store, *steps)
    assert (before["status"], trace(file)) == ("ERROR", ["one", "two", "needs"])
    better.touch()
    line = resumed(store, before, *steps)
    assert (line["status"], line["content"]) == ("COMPLETED", "x")
    assert trace(file) == ["one", "two", "needs", "needs", "x"]
    assert statuses(line) == dict.fromkeys(["one", "g", "g/two", "g/needs", "x"], "COMPLETED")
    assert step(line, "g/needs")["attempts"] == 2
    assert line["resumes"] == before["run_id"]


def test_what_is_inside_a_finished_part_is_known_to_later_steps_of_a_run_gone_on_with(
    store: Store, tmp_path: Path
) -> None:
    better = tmp_path / "better"
    steps = [
        Steps([Step(says("deep"), name="d")], name="g"),
        Loop([Step(adds("n"), name="count")], name="l", max_iterations=2),
        Step(Command(["test", "-e", str(better)]), name="needs"),
        Step(content, name="x", input='.steps.d.content + " " + .steps.count.content'),
    ]
    before = ran(store, *steps)
    assert before["status"] == "ERROR"
    better.touch()
    line = resumed(store, before, *steps)
    assert line["content"] == "deep n 2"
    assert line["session_state"] == {"n": 2}


def test_a_loop_goes_on_in_the_iteration_that_failed(store: Store, tmp_path: Path) -> None:
    """Also where its condition holds meanwhile: the iteration had begun."""
    better = tmp_path / "better"
    loop = Loop(
        [
            Step(adds("n"), name="count"),
            Step(sh('test "$(cat)" != "n 2" || test -e "$1"', str(better)), name="needs"),
            Step(adds("m"), name="after"),
        ],
        name="l",
        until=".session_state.n >= 2",
        max_iterations=5,
    )
    before = ran(store, loop)
    assert before["status"] == "ERROR"
    assert statuses(before)["l/2/needs"] == "ERROR"
    better.touch()
    line = resumed(store, before, loop)
    assert line["session_state"] == {"n": 2, "m": 2}
    assert step(line, "l")["iterations"] == 2
    assert set(statuses(line).values()) == {"COMPLETED"}


def test_what_a_branch_did_is_not_done_again_when_another_failed(
    store: Store, tmp_path: Path
) -> None:
    file, better = tmp_path / "trace", tmp_path / "better"
    steps = [
        Parallel(
            [
                Steps([traced(file, "a"), Step(adds("n"), name="count")], name="one"),
                Step(Command(["test", "-e", str(better)]), name="needs"),
            ],
            name="p",
        ),
        Step(content, name="x", input="[.steps.count.content, .session_state.n]"),
    ]
    before = ran(store, *steps)
    assert (before["status"], before["session_state"]) == ("ERROR", {"n": 1})
    better.touch()
    line = resumed(store, before, *steps)
    assert (line["content"], trace(file)) == ('["n 1", 1]', ["a"])
    assert line["session_state"] == {"n": 1}


def test_an_agent_that_was_done_is_not_asked_again(store: Store, tmp_path: Path) -> None:
    better = tmp_path / "better"
    model = Told("draft")
    steps = [
        Agent(model, name="a"),
        Step(Command(["test", "-e", str(better)]), name="needs"),
        Step(content, name="x", input=".steps.a.content"),
    ]
    before = ran(store, *steps)
    better.touch()
    line = resumed(store, before, *steps)
    assert (line["content"], len(model.sent)) == ("draft", 1)
    assert step(line, "a")["run_id"] == step(before, "a")["run_id"]
    assert line["members"] == []
    assert line["session_metrics"]["total_tokens"] == 3


def test_a_step_that_ended_the_workflow_ends_one_that_has_its_record(store: Store) -> None:
    """A workflow inside another is gone on with when that one failed after it."""
    tries = iter([False, True])

    def needs(given: StepInput) -> str:
        assert next(tries)
        return given.content

    inner = Workflow(name="inner", steps=[Step(says("enough"), stop=True), says("too late")])
    before = ran(store, inner, needs)
    line = resumed(store, before, inner, needs)
    assert (line["status"], line["content"]) == ("COMPLETED", "enough")


def stopped(store: Store, *steps: Any, run_id: str = "it") -> RunLine:
    """Run steps of which one stops the run."""
    with pytest.raises(Cancelled):
        Workflow(steps=steps, name="w").run("go", session_id="s", store=store, run_id=run_id)
    assert wrong_with(store) == []
    line = store.session("s", "default").last()
    assert line is not None and line["type"] == "run"
    return line


def stops(_given: StepInput) -> str:
    raise Cancelled(15)


def test_a_run_that_is_stopped_keeps_what_was_done(store: Store) -> None:
    """W18."""
    line = stopped(store, says("one"), stops, Step(says("three"), name="after"))
    assert (line["status"], line["exit_code"]) == ("CANCELLED", 143)
    assert statuses(line) == {"function": "COMPLETED", "stops": "CANCELLED"}
    assert contents(line)["function"] == "one"
    again = resumed(store, line, says("one"), Step(says("two"), name="stops"), content)
    assert (again["status"], again["content"]) == ("COMPLETED", "two")


def test_a_run_that_is_stopped_keeps_what_finished_branches_did_to_the_state(store: Store) -> None:
    counted = threading.Event()

    def counts(given: StepInput) -> str:
        given.session_state["n"] = 1
        return "counted"

    def late(given: StepInput) -> str:
        assert counted.wait(30)
        raise Cancelled(2)

    one = Steps([Step(counts, name="count"), Step(lambda _: counted.set(), name="tell")], name="a")
    line = stopped(store, Parallel([one, Step(late, name="b")], name="p"))
    assert line["session_state"] == {"n": 1}
    assert statuses(line) == {
        "p": "CANCELLED",
        "p/a": "COMPLETED",
        "p/a/count": "COMPLETED",
        "p/a/tell": "COMPLETED",
        "p/b": "CANCELLED",
    }


def test_a_run_that_is_stopped_ends_the_command_of_its_step(store: Store, tmp_path: Path) -> None:
    began, pid = tmp_path / "began", tmp_path / "pid"
    command = sh('echo $$ > "$2"; touch "$1"; exec sleep 600', str(began), str(pid))

    def stop_it(_given: StepInput) -> str:
        while not began.exists():
            time.sleep(0.01)
        raise Cancelled(2)

    line = stopped(store, Parallel([Step(command, name="c"), Step(stop_it, name="s")], name="p"))
    assert statuses(line) == {"p": "CANCELLED", "p/c": "CANCELLED", "p/s": "CANCELLED"}
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def too_long(_request: ModelRequest) -> str:
    time.sleep(600)
    return ""


def test_a_limit_of_time_holds_for_steps_of_every_kind(store: Store) -> None:
    sleeps: list[Any] = [
        Command(["sleep", "600"]),
        lambda _: time.sleep(600),
        Agent(Told(too_long), name="a"),
        Team(Told(too_long), name="t", members=[Agent(Told(), name="m")]),
    ]
    for does in sleeps:
        line = ran(store, says("one"), Step(does, name="x"), content, limits=Limits(seconds=0.3))
        assert (line["status"], line["exit_code"]) == ("ERROR", 5)
        assert line["error"] is not None and line["error"]["kind"] == "limit"
        assert statuses(line) == {"function": "COMPLETED", "x": "ERROR"}


def test_a_limit_of_tokens_holds_for_all_steps_together(store: Store) -> None:
    steps = [Step(Agent(Told(), name=f"a{n}")) for n in range(20)]
    line = ran(store, *steps, limits=Limits(tokens=40))
    assert (line["status"], line["exit_code"]) == ("ERROR", 5)
    assert len(line["members"]) < 20
    assert statuses(line)["a0"] == "COMPLETED"
