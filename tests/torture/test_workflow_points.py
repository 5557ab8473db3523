"""System calls of a workflow's run: killed in front of one, no step that had ended runs again."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.teams import Json
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, LAST, Point, faulty, require_strace
from tests.torture.world import World, judged, points_of

SIX = ["one", "two", "three", "four", "five", "six"]
CHANGES = ("write", "rename", "unlink")
SAMPLE = (4, 20)
"""Of the points that change something, and of the others, one of so many: all take minutes."""
RESUMING = 6
"""Of the points that change something when the run is gone on with."""


class WorkflowWorld(World):
    """A home for a workflow of six commands, of which two run at once and one in a loop."""

    def __init__(self, folder: Path, flow: Path | None = None) -> None:
        super().__init__(folder)
        self.flow = flow or self._defined()  # where it is is a part of what is asked
        workflow = ("run", "-q", "--workflow", str(self.flow))
        self.asked = (*workflow, "-s", "s", "--run-id", "it", "--json", "go")

    def _defined(self) -> Path:
        one, two, three, four, five, six = map(traced, SIX)
        both = {"name": "both", "parallel": [three, four]}
        loop = {"name": "loop", "loop": [five], "max_iterations": 1}
        steps = [one, {"name": "group", "steps": [two]}, both, loop, six]
        path = self.cwd / "flow.yaml"
        path.write_text(json.dumps({"kind": "workflow", "name": "flow", "steps": steps}))
        return path

    def keep(self) -> None:
        super().keep()
        self._ran = self.ran

    def again(self) -> None:
        super().again()
        (self.cwd / "trace").write_text("".join(f"{name}\n" for name in self._ran))

    def copy(self, folder: Path) -> "WorkflowWorld":
        """A second world that begins as this one does."""
        other = WorkflowWorld(folder, self.flow)
        kept = self.home.with_name("kept")
        if kept.exists():
            shutil.copytree(kept, other.home)
        mine, its = (f'"cwd":"{world.cwd}"'.encode() for world in (self, other))
        for path in other.home.rglob("*.*"):  # it is gone on with in the folder in which it began
            if path.is_file():
                path.write_bytes(path.read_bytes().replace(mine, its))
        (other.cwd / "trace").write_text("".join(f"{name}\n" for name in self._ran))
        other.keep()
        return other

    @property
    def ran(self) -> list[str]:
        """The steps that ran, as they left their names."""
        path = self.cwd / "trace"
        return path.read_text().split() if path.exists() else []


def traced(name: str) -> Json:
    """Define a step that leaves its name in a file."""
    script = f"echo {name} >> trace; echo {name}"
    return {"name": name, "run": ["sh", "-c", script]}


def judge(world: World, point: Point, fault: str) -> str | None:
    assert isinstance(world, WorkflowWorld)
    ended = faulty(world, point, fault, *world.asked)
    if ended is None:  # threads share the work a little differently each time
        return None
    return after(world, ended)


def after(world: WorkflowWorld, ended: Result) -> str | None:
    """Say what is wrong with the session, and with the same call made again."""
    kept = [one["run_id"] for one in runs_of(world)]
    before = Counter(world.ran)
    again = world(*world.asked, code=None)
    if again.code:
        return f"then the same call ended in {again.code}: {again.err}"
    line: Json = again.json
    acknowledged = [json.loads(ended.out)["run_id"]] if ended.out else []
    wrong = check(world.path, [*acknowledged, *kept, line["run_id"]])
    if (line["status"], line["content"]) != ("COMPLETED", "six"):
        wrong.append(f"then it ended as {line['status']} with {line['content']!r}")
    if [step["name"] for step in line["steps"]] != ["one", "group", "both", "loop", "six"]:
        wrong.append("the steps are others")
    wrong += repeated(before, Counter(world.ran), runs_of(world))
    if any(world.home.rglob("*.part")):
        wrong.append("a record is left in flight")
    return "; ".join(wrong) or None


def repeated(before: Counter[str], ran: Counter[str], runs: list[Json]) -> list[str]:
    """Say which steps ran too often, or not at all: only those that had not ended may run twice."""
    ended = {step["name"] for run in runs[:-1] for step in flat(run) if step["status"] == DONE}
    wrong = [f"{name} did not run" for name in SIX if not ran[name]]
    wrong += [
        f"{name} ran {ran[name]} times" for name in SIX if ran[name] > 1 + (name not in ended)
    ]
    twice = [name for name in SIX if ran[name] > 1]
    if len(twice) > 1 and twice != ["three", "four"]:  # these run at once
        wrong.append(f"{twice} ran twice, and {dict(before)} had run before")
    return wrong


DONE = "COMPLETED"


def flat(record: Json) -> list[Json]:
    """The records of the steps in a line, or in a step."""
    return [inner for step in record["steps"] for inner in (step, *flat(step))]


def runs_of(world: World) -> list[Json]:
    """The runs whose lines are there, whole."""
    raw = world.path.read_bytes().split(b"\n")[:-1] if world.path.exists() else []
    return [line for line in map(json.loads, raw) if line["type"] == "run"]


@pytest.fixture
def world(tmp_path: Path) -> WorkflowWorld:
    require_strace()
    return WorkflowWorld(tmp_path / "first")


def test_a_workflow_that_is_killed_in_front_of_a_call_goes_on_and_no_ended_step_runs_again(
    world: WorkflowWorld, figure: Figure
) -> None:
    found = [point for point in points_of(world, *world.asked) if point.name != LAST]
    changing = [point for point in found if point.name in CHANGES]
    others = [point for point in found if point.name not in CHANGES]
    tried = [*changing[:: SAMPLE[0]], *others[:: SAMPLE[1]]]
    wrong = judged(world, [(point, KILL) for point in tried], judge)
    assert not wrong, "\n".join(wrong)
    figure("crash points of a workflow", f"{len(tried)} of {len(found)} tried, all hold")


def test_a_workflow_that_died_and_is_killed_while_it_is_gone_on_with_loses_and_repeats_nothing(
    world: WorkflowWorld, figure: Figure
) -> None:
    """Also while the dead run gets its line."""
    found = points_of(world, *world.asked)
    noted = [point for point in found if point.name == "write" and '"step' in point.arguments]
    last = max(noted, key=lambda point: point.number)  # of the main thread, which writes most
    middle = replace(last, number=last.number * 2 // 3)
    assert faulty(world, middle, KILL, *world.asked) is not None
    assert 0 < len(world.ran) < len(SIX)
    shutil.rmtree(world.home.with_name("kept"), ignore_errors=True)
    resuming = [point for point in points_of(world, *world.asked) if point.name in CHANGES]
    tried = resuming[::RESUMING]
    wrong = judged(world, [(point, KILL) for point in tried], judge)
    assert not wrong, "\n".join(wrong)
    figure("crash points of going on with it", f"{len(tried)} of {len(resuming)} tried, all hold")
