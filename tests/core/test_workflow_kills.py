"""Workflows whose process is killed: what had ended is there, and is not done again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clew.core.lines import RunLine
from clew.stores import JsonlStore
from tests.conftest import eventually
from tests.workflows import flat, open_pauses, statuses, step, trace, wrong_with

KILLED = -9
SIX = ["one", "two", "three", "four", "five", "six"]
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from clew.core import Agent, Invocation
from clew.core.approvals import Answers
from clew.core.steps import *
from clew.core.workflow import Workflow
from clew.stores import JsonlStore
from tests.workflows import *

home, file = sys.argv[1], Path(sys.argv[2])
at, how = json.loads(sys.argv[3]), json.loads(sys.argv[4])

def die(event):
    if [event["event"], event.get("step", {{}}).get("id")] == at:
        os.kill(os.getpid(), signal.SIGKILL)

def agent(name):
    return Step(Agent(Told(name), name=name), name=name)

def dies(_given):
    if at == "inside":
        os.kill(os.getpid(), signal.SIGKILL)
    return "lives"

steps = {steps}
answers = Answers(confirm=("",)) if how.pop("confirm", False) else Answers()
how = Invocation(
    store=JsonlStore(home), session_id="s", on_event=die, answers=answers, serial=True, **how
)
line = Workflow(name="w", steps=steps).invoke("" if how.resume else "go", how).line
print(json.dumps(line))
"""


class Killed:
    """A workflow in a process of its own, which may be killed at an event."""

    def __init__(self, folder: Path, steps: str) -> None:
        self.home, self.file = str(folder / "home"), folder / "trace"
        self._script = SCRIPT.format(steps=steps)
        self.store = JsonlStore(self.home)

    def run(self, at: Any = None, **how: Any) -> RunLine | None:
        """Run, or go on; return the line, None if it was killed."""
        arguments = [self.home, str(self.file), json.dumps(at), json.dumps(how)]
        done = subprocess.run(
            [sys.executable, "-c", self._script, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert done.returncode == (0 if at is None else KILLED), done.stderr
        if at is not None:
            return None
        assert wrong_with(self.store) == []
        line: RunLine = json.loads(done.stdout)
        return line

    def died(self) -> RunLine:
        """Recover, and return the line of the dead run."""
        # A command that was just begun holds for a moment what its process held.
        found: list[RunLine] = eventually(self.store.session("s", "default").recover)
        assert wrong_with(self.store) == []
        assert found[-1]["status"] == "INTERRUPTED" and found[-1]["parent_run_id"] is None
        return found[-1]

    def resumed(self, at: Any = None, **how: Any) -> RunLine:
        """Go on with the run that died, or waits, last."""
        line = self.run(at, resume=self.last()["run_id"], **how)
        assert line is not None
        return line

    def last(self) -> RunLine:
        """The last run that somebody asked for, also one that has died and has no line yet."""
        log = self.store.session("s", "default")
        dead = [each.line for each in log.in_flight() if each.line["parent_run_id"] is None]
        if dead:
            return dead[-1]
        lines = [each for each in log.lines() if each["type"] == "run"]
        return [each for each in lines if each["parent_run_id"] is None][-1]


ALL_SIX = "[traced(file, name) for name in " + repr(SIX) + "]"


@pytest.mark.parametrize("after", SIX)
def test_killed_between_the_record_of_a_step_and_the_next_one_each_runs_once(
    tmp_path: Path, after: str
) -> None:
    flow = Killed(tmp_path, ALL_SIX)
    flow.run(["StepCompleted", after])
    done = SIX[: SIX.index(after) + 1]
    assert trace(flow.file) == done
    line = flow.resumed()
    assert (line["status"], line["content"]) == ("COMPLETED", "six")
    assert trace(flow.file) == SIX
    assert statuses(line) == dict.fromkeys(SIX, "COMPLETED")
    assert [record["attempts"] for record in line["steps"]] == [1] * 6
    dead = next(
        each
        for each in flow.store.session("s", "default").lines()
        if each["type"] == "run" and each["status"] == "INTERRUPTED"
    )
    assert statuses(dead) == dict.fromkeys(done, "COMPLETED")


def test_killed_inside_a_step_that_one_runs_twice_and_no_other(tmp_path: Path) -> None:
    two = """Step(sh('echo two >> "$1"; test -e "$2" || kill -9 $PPID; echo 2', str(file),
        str(file) + ".better"), name="two")"""
    flow = Killed(tmp_path, f'[traced(file, "one"), {two}, traced(file, "three")]')
    flow.run("inside")
    dead = flow.died()
    assert statuses(dead) == {"one": "COMPLETED", "two": "INTERRUPTED"}
    assert step(dead, "two")["attempts"] == 1
    Path(f"{flow.file}.better").touch()
    line = flow.resumed()
    assert line["status"] == "COMPLETED"
    assert trace(flow.file) == ["one", "two", "two", "three"]
    assert step(line, "two")["attempts"] == 2


def test_a_killed_run_comes_back_with_its_steps_nested_and_its_totals(tmp_path: Path) -> None:
    steps = """[agent("a"), Steps([agent("b"), Loop([agent("c")], name="l", max_iterations=2)],
        name="g"), Step(dies, name="d")]"""
    flow = Killed(tmp_path, steps)
    flow.run("inside")
    dead = flow.died()
    assert [record["id"] for record in flat(dead["steps"])] == [
        "a",
        "g",
        "g/b",
        "g/l",
        "g/l/1",
        "g/l/1/c",
        "g/l/2",
        "g/l/2/c",
        "d",
    ]
    assert step(dead, "g")["steps"][1]["steps"][1]["steps"][0]["content"] == "c"
    assert [one["name"] for one in dead["members"]] == ["a", "b", "c", "c"]
    assert dead["total_metrics"]["total_tokens"] == 12
    assert dead["session_metrics"]["total_tokens"] == 12
    line = flow.resumed()
    assert (line["status"], line["content"], line["members"]) == ("COMPLETED", "lives", [])


def test_a_run_that_died_with_the_one_around_it_is_stored_before_it_and_gone_on_with(
    tmp_path: Path,
) -> None:
    inner = """Workflow(name="inner", steps=[traced(file, "x"), agent("deep"), Step(dies, name="d"),
        traced(file, "y")])"""
    flow = Killed(tmp_path, f'[traced(file, "one"), Step({inner}), traced(file, "two")]')
    flow.run("inside")
    flow.died()
    lines = [each for each in flow.store.session("s", "default").lines() if each["type"] == "run"]
    assert [each["name"] for each in lines] == ["deep", "inner", "w"]
    assert [each["status"] for each in lines] == ["COMPLETED", "INTERRUPTED", "INTERRUPTED"]
    assert lines[1]["parent_run_id"] == lines[2]["run_id"]
    line = flow.resumed()
    assert (line["status"], trace(flow.file)) == ("COMPLETED", ["one", "x", "y", "two"])
    assert step(line, "inner")["run_id"] != lines[1]["run_id"]
    runs = [each for each in flow.store.session("s", "default").lines() if each["type"] == "run"]
    again = [each for each in runs if each["name"] == "inner"]
    assert again[1]["resumes"] == again[0]["run_id"]
    assert [each["name"] for each in runs].count("deep") == 1


def test_killed_while_steps_run_at_once_those_that_had_ended_are_not_done_again(
    tmp_path: Path,
) -> None:
    ended = 'Steps([traced(file, "a"), Step(adds("n"), name="count")], name="g")'
    late = """Step(sh('until grep -q a "$1"; do sleep 0.01; done; echo b >> "$1"; echo b',
        str(file)), name="b")"""
    flow = Killed(tmp_path, f'[Parallel([{ended}, {late}], name="p"), traced(file, "c")]')
    flow.run(["StepCompleted", "p/b"])
    dead = flow.died()
    assert statuses(dead)["p/b"] == "COMPLETED"
    line = flow.resumed()
    assert (line["status"], line["session_state"]) == ("COMPLETED", {"n": 1})
    assert sorted(trace(flow.file)) == ["a", "b", "c"]
    assert line["steps"][0]["content"] == "## g\nn 1\n\n## b\nb"


def test_what_a_finished_branch_changed_in_the_state_outlives_the_process(tmp_path: Path) -> None:
    waits = """Step(sh('until test -e "$1.never"; do sleep 0.05; done', str(file)), name="b")"""
    flow = Killed(tmp_path, f'[Parallel([Step(adds("n"), name="a"), {waits}], name="p")]')
    flow.run(["StepCompleted", "p/a"])
    assert flow.died()["session_state"] == {"n": 1}
    Path(f"{flow.file}.never").touch()
    assert flow.resumed()["session_state"] == {"n": 1}


@pytest.mark.parametrize(
    "at",
    [
        ["WorkflowStarted", None],
        ["StepStarted", "two"],
        ["StepCompleted", "two"],
        ["StepCompleted", "three"],
        ["WorkflowRunContent", None],
    ],
)
def test_killed_while_it_is_settled_the_answer_holds_and_nothing_is_done_twice(
    tmp_path: Path, at: list[str | None]
) -> None:
    two = 'Step(traced(file, "two").does, name="two", pause=Pause(confirmation=True))'
    flow = Killed(tmp_path, f'[traced(file, "one"), {two}, traced(file, "three")]')
    assert flow.run() is not None
    paused = flow.last()
    flow.run(at, resume=paused["run_id"], confirm=True)
    line = flow.resumed()
    if line["status"] == "PAUSED":  # killed before the answer was taken
        assert at[0] in ("WorkflowStarted", "StepStarted")
        line = flow.resumed(confirm=True)
    assert (line["status"], line["content"]) == ("COMPLETED", "three")
    assert trace(flow.file) == ["one", "two", "three"]
    assert open_pauses(line) == []


def test_killed_again_and_again_it_goes_on_each_time(tmp_path: Path) -> None:
    flow = Killed(tmp_path, ALL_SIX)
    flow.run(["StepCompleted", "one"])
    for name in SIX[1:4]:
        flow.run(["StepCompleted", name], resume=flow.last()["run_id"])
    line = flow.resumed()
    assert (line["status"], trace(flow.file)) == ("COMPLETED", SIX)


def test_an_interrupted_run_can_be_gone_on_with_by_another_that_is_killed_while_it_recovers(
    tmp_path: Path,
) -> None:
    """The steps of the dead run are in flight, then in its line, and never in neither."""
    steps = f'[agent("a"), *{ALL_SIX}]'
    flow = Killed(tmp_path, steps)
    flow.run(["StepCompleted", "three"])
    flow.run(["WorkflowStarted", None], resume=flow.last()["run_id"])
    flow.run(["WorkflowStarted", None], resume=flow.last()["run_id"])
    line = flow.resumed()
    assert (line["status"], trace(flow.file)) == ("COMPLETED", SIX)
    assert line["session_metrics"]["total_tokens"] == 3
