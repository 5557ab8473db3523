"""Every system call of a team's run: killed in front of it, nothing that was done is done again."""

import json
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.paused import call, sent, tool
from tests.teams import Json, delegate, member, team
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, LAST, Point, faulty, require_strace
from tests.torture.world import World, judged, points_of, that_change


class TeamWorld(World):
    """A home for a team of two: ann calls a tool, and then bob is asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ann = member(self, "ann", [call("1", "send", to="ann")], tools=[tool(self)])
        turns = [[delegate("1", "ann")], [delegate("2", "bob")]]
        path = team(self, ann, member(self, "bob"), turns=turns)
        self.asked = ("run", "-q", "--team", path, "-s", "s", "--run-id", "it", "--json", "go")

    def again(self) -> None:
        super().again()
        (self.cwd / "sent").unlink(missing_ok=True)

    def copy(self, folder: Path) -> "TeamWorld":
        """A second world that begins as this one does."""
        other = TeamWorld(folder)
        other.keep()
        return other


def judge(world: World, point: Point, fault: str) -> str | None:
    assert isinstance(world, TeamWorld)
    ended = faulty(world, point, fault, *world.asked)
    if ended is None:  # threads share the work a little differently each time
        return "never came there" if that_change([point]) else None
    if acknowledged_by(ended) and world.stored_run("it") is None:
        return "acknowledged before it was stored"
    return after(world, ended)


def after(world: TeamWorld, ended: Result) -> str | None:
    """Say what is wrong with the session, and with the same call made again."""
    kept = [json.loads(raw) for raw in whole_lines(world.path)]
    again = world(*world.asked, code=None)
    if again.code:
        return f"then the same call ended in {again.code}: {again.err}"
    line: Json = again.json
    wrong = check(
        world.path, [*acknowledged_by(ended), *(one["run_id"] for one in kept), line["run_id"]]
    )
    if (line["status"], line["content"]) != ("COMPLETED", "All done."):
        wrong.append(f"then it ended as {line['status']} with {line['content']!r}")
    told = [each["content"] for each in line["messages"] if each["role"] == "tool"]
    if told != ["ann is done", "bob is done"]:
        wrong.append(f"the leader was told {told}")
    if len(sent(world)) > 1:
        wrong.append(f"the tool ran {len(sent(world))} times")
    runs = [json.loads(raw) for raw in whole_lines(world.path)]
    for name in ("ann", "bob"):
        ends = [one["status"] for one in runs if one["name"] == name]
        if ends.count("COMPLETED") != 1:
            wrong.append(f"{name} ended as {ends}")
    if any(world.home.rglob("*.part")):
        wrong.append("a record is left in flight")
    return "; ".join(wrong) or None


def acknowledged_by(ended: Result) -> list[str]:
    """The run that was printed, if it is said to be stored."""
    line = json.loads(ended.out) if ended.out else {}
    return [line["run_id"]] if line.get("seq") else []


def whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> TeamWorld:
    require_strace()
    return TeamWorld(tmp_path / "first")


def test_a_team_that_is_killed_in_front_of_any_call_goes_on_and_does_nothing_twice(
    world: TeamWorld, figure: Figure
) -> None:
    found = [point for point in points_of(world, *world.asked) if point.name != LAST]
    tried = that_change(found)
    wrong = judged(world, [(point, KILL) for point in tried], judge)
    assert not wrong, "\n".join(wrong)
    figure("crash points of a team of two", f"{len(tried)} of {len(found)} tried, all hold")
