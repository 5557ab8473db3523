"""Every change that a yes to a paused run makes: killed in front of it, no tool runs twice."""

import json
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.paused import call, plays, sent, tool
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, Point, faulty, require_strace
from tests.torture.world import World, judged, points_of, that_change

SETTLE = ("continue", "-q", "-s", "s", "--confirm", "--run-id", "it", "--json")
MAY_HAVE = (
    "the process died while this tool ran: it may have done its work, and was not called again"
)
NOT_CALLED = "the process died before this tool was called"
TRUE = {0: (NOT_CALLED, MAY_HAVE), 1: ("sent", MAY_HAVE)}


class PausedWorld(World):
    """A session whose run waits for a yes to one call."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.env["CLEW_MODEL"] = plays(self, [call("c1", to="ann")])
        self.tool = tool(self, requires_confirmation=True)

    def again(self) -> None:
        super().again()
        (self.cwd / "sent").unlink(missing_ok=True)

    def copy(self, folder: Path) -> "PausedWorld":
        """A second world that begins as this one does."""
        other = PausedWorld(folder)
        other.pause()
        other.keep()
        return other

    def pause(self) -> None:
        self("run", "-q", "-s", "s", "-t", self.tool, "go", code=6)


def judge(world: World, point: Point, fault: str) -> str | None:
    ended = faulty(world, point, fault, *SETTLE)
    if ended is None:
        return "never came there"
    if ended.out and world.stored_run("it") is None:
        return "acknowledged before it was stored"
    return after(world, ended)


def after(world: World, ended: Result) -> str | None:
    """Say what is wrong with the session, and with the same call made again."""
    again = world(*SETTLE, code=None)
    if again.code:
        return f"then the same call ended in {again.code}: {again.err}"
    line = again.json
    told = [each["content"] for each in line["messages"] if each["role"] == "tool"]
    calls = len(sent(world))
    acknowledged = [json.loads(ended.out)["run_id"]] if ended.out else []
    wrong = check(world.path, [*acknowledged, line["run_id"]])
    if calls not in TRUE or len(told) != 1 or told[0] not in TRUE[calls]:
        wrong.append(f"the tool ran {calls} times, and the model was told {told}")
    if (line["status"], line["content"]) != ("COMPLETED", "Done."):
        wrong.append(f"then it ended as {line['status']} with {line['content']!r}")
    if any(world.home.rglob("*.part")):
        wrong.append("a record is left in flight")
    return "; ".join(wrong) or None


@pytest.fixture
def world(tmp_path: Path) -> PausedWorld:
    require_strace()
    return PausedWorld(tmp_path / "first")


def test_settling_that_is_killed_in_front_of_any_call_runs_the_tool_once(
    world: PausedWorld, figure: Figure
) -> None:
    world.pause()
    found = that_change(points_of(world, *SETTLE))
    wrong = judged(world, [(point, KILL) for point in found], judge)
    assert not wrong, "\n".join(wrong)
    figure("crash points of continue --confirm", f"{len(found)}, all hold")
