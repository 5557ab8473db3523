"""Many teams on one session at once, and a recovery that is killed."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Clew, eventually
from tests.paused import call, tool
from tests.teams import Json, delegate, member, names, run_of, runs, team, told
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, LAST, Point, faulty, require_strace
from tests.torture.world import World, judged, points_of

TEAMS = 8
ROUNDS = 4


def changing(clew: Clew, name: str) -> Json:
    """Define a member that counts in the state by a command, and then sets a key itself."""
    count = tool(clew, f"count-{name}", f"clew state update '.n.{name} += 1'")
    turns = [
        [call("1", f"count-{name}", to="x")],
        [call("2", "update_session_state", session_state_updates={f"last_{name}": True})],
    ]
    return member(clew, name, *turns, tools=[count], enable_agentic_state=True)


@pytest.mark.parametrize("word", ["run", "continue"])
def test_eight_teams_at_once_on_one_session_lose_nothing_and_every_count_is_right(
    clew: Clew, word: str, figure: Figure
) -> None:
    path = team(clew, changing(clew, "ann"), changing(clew, "bob"))
    clew("run", "-q", "--team", path, "-s", "s", "go")
    asked = (word, "-q", "--team", path, "-s", "s", "--json", "go")

    def loop(_: int) -> list[Json]:
        return [clew(*asked).json for _ in range(ROUNDS)]

    with ThreadPoolExecutor(TEAMS) as pool:
        printed = [line for lines in pool.map(loop, range(TEAMS)) for line in lines]
    stored = {line["run_id"]: line for line in runs(clew)}
    assert [stored[line["run_id"]] for line in printed] == printed
    assert len(stored) == 3 * (TEAMS * ROUNDS + 1)
    assert {status for _, status in names(clew)} == {"COMPLETED"}
    count = TEAMS * ROUNDS + 1
    expected = {"n": {"ann": count, "bob": count}, "last_ann": True, "last_bob": True}
    assert clew("state", "-s", "s", "--json").json["session_state"] == expected
    clew("sessions", "verify", "-s", "s")
    assert check(clew.session_file("s"), [line["run_id"] for line in printed]) == []
    figure(f"teams of two at once on one session ({word})", f"{len(printed)} runs, 0 lost")


SLOW = 'echo x >> called; [ "$(wc -l < called)" -gt 1 ] || sleep 1000; echo ok'


class DeadWorld(World):
    """A session in which a team was killed in the middle of its second member."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        bob = member(self, "bob", [call("1", "slow", to="x")], tools=[tool(self, "slow", SLOW)])
        turns = [[delegate(f"d-{each}", each)] for each in ("ann", "bob", "cat")]
        self.team = team(self, member(self, "ann"), bob, member(self, "cat"), turns=turns)

    def die(self) -> None:
        process = self.start("run", "-q", "--team", self.team, "-s", "s", "--run-id", "it", "go")
        eventually((self.cwd / "called").exists)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    def copy(self, folder: Path) -> "DeadWorld":
        """A second world that begins as this one does."""
        other = DeadWorld(folder)
        other.die()
        other.keep()
        return other


def judge(world: World, point: Point, fault: str) -> str | None:
    if faulty(world, point, fault, *RECOVERS) is None:
        return "never came there"
    line = world("continue", "-q", "-s", "s", "--resume=it", "--json", code=None)
    if line.code:
        return f"then resuming ended in {line.code}: {line.err}"
    wrong = check(world.path)
    if told(line.json) != ["ann is done", "bob is done", "cat is done"]:
        wrong.append(f"the leader was told {told(line.json)}")
    found = names(world)
    for each in (("ann", "COMPLETED"), ("bob", "INTERRUPTED"), ("team", "INTERRUPTED")):
        if found.count(each) != 1:
            wrong.append(f"{found.count(each)} times {each}")
    if run_of(world, "team")["status"] != "COMPLETED":
        wrong.append("the team did not complete")
    if (world.cwd / "called").read_text() != "x\n":
        wrong.append("the tool was called again")
    return "; ".join(wrong) or None


RECOVERS = ("run", "-q", "-s", "s", "hi")
CHANGES = ("write", "rename", "unlink", "fsync")


def test_a_recovery_of_a_team_that_is_killed_in_front_of_any_change_is_made_again(
    tmp_path: Path, figure: Figure
) -> None:
    require_strace()
    world = DeadWorld(tmp_path / "first")
    world.die()
    found = [point for point in points_of(world, *RECOVERS) if point.name != LAST]
    tried = [point for point in found if point.name in CHANGES]
    wrong = judged(world, [(point, KILL) for point in tried], judge)
    assert not wrong, "\n".join(wrong)
    assert json.loads(world.path.read_bytes().splitlines()[0])["name"] == "ann"
    figure("crash points of a team's recovery", f"{len(tried)} of {len(found)} tried, all hold")
