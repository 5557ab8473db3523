"""Every change that is made after a run: killed in front of it, run and cost are kept."""

import json
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.summed_up import ASKS_FOR_NAME, ASKS_FOR_SUMMARY
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, LAST, Point, faulty, require_strace
from tests.torture.world import ANSWER, World, judged, points_of, that_change

RUN = ("run", "-q", "-a", "./agent.yaml", "-s", "s", "--history", "--json", "--run-id")
DEFINITION = """
enable_session_summaries: true
autogenerate_session_name: true
summary_tokens: 1
"""


class SummedWorld(World):
    """An agent whose sessions are summarized and named."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        answers = (("hi", ANSWER), (ASKS_FOR_SUMMARY, "In short."), (ASKS_FOR_NAME, "Greetings"))
        self.env["CLEW_MODEL"] = self.recording(*answers)
        (self.cwd / "agent.yaml").write_text(DEFINITION)

    def copy(self, folder: Path) -> "SummedWorld":
        """A second world that begins as this one does."""
        other = SummedWorld(folder)
        other.keep()
        return other


def judge(world: World, point: Point, fault: str) -> str | None:
    ended = faulty(world, point, fault, *RUN, "it", "hi")
    if ended is None:
        return "never came there"
    if ended.out and world.stored_run("it") is None:
        return "acknowledged before it was stored"
    return after(world, ended)


def after(world: World, ended: Result) -> str | None:
    """Say what is wrong with the session, after the same call again and another one."""
    same = world(*RUN, "it", "hi", code=None)
    if same.code or same.json["content"] != ANSWER:
        return f"then the same call ended in {same.code}: {same.out} {same.err}"
    if ended.out and ended.out != same.out:
        return "the acknowledged line was not the one that is stored"
    world(*RUN, "next", "hi")
    wrong = check(world.path, ["it", "next"])
    lines = [json.loads(line) for line in world.path.read_bytes().splitlines()]
    last = lines[-1]
    if last.get("summary") != "In short." or last["covers"]["turns"] != 2:
        wrong.append(f"the last line is no summary of both runs: {last}")
    if [line["name"] for line in lines if line["type"] == "session"].count("Greetings") != 1:
        wrong.append("the session was not named once")
    if any(world.home.rglob("*.part")) or any(world.home.rglob("*~*.job")):
        wrong.append("a record is left")
    return "; ".join(wrong) or None


def begun(world: World) -> list[Point]:
    """Return the changes that follow the run: before, it is a run as any (see test_points)."""
    found = [point for point in points_of(world, *RUN, "it", "hi") if point.name != LAST]
    stored = next(n for n, point in enumerate(found) if ".job" in point.arguments)
    return that_change(found[stored:])


@pytest.fixture
def world(tmp_path: Path) -> SummedWorld:
    require_strace()
    return SummedWorld(tmp_path / "first")


def test_a_run_that_is_summed_up_and_killed_in_front_of_a_call_is_kept_and_counted_once(
    world: SummedWorld, figure: Figure
) -> None:
    found = begun(world)
    wrong = judged(world, [(point, KILL) for point in found], judge)
    assert not wrong, "\n".join(wrong)
    figure("crash points of a run with summary and name", f"{len(found)}, all hold")
