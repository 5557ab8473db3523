"""What strace is relied on for: with every call stopped or only those in question, the same."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.torture import strace
from tests.torture.strace import KILL, LAST, Point, faulty, points, quick, require_strace
from tests.torture.world import World, points_of

RUN = ("run", "-q", "-s", "s", "--run-id", "it", "--json", "hi")


def plain() -> Sequence[str]:
    """Have every call stop."""
    return ()


@pytest.fixture
def world(tmp_path: Path) -> World:
    require_strace()
    world = World(tmp_path / "first")
    world("run", "-q", "-s", "s", "hi")
    return world


@pytest.fixture(params=[quick, plain], ids=["quick", "plain"])
def line_point(
    world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Point:
    """The call that writes the line, where either way is taken."""
    monkeypatch.setattr(strace, "quick", request.param)
    [point] = [
        point
        for point in points_of(world, *RUN)
        if point.name == "write" and "/s.jsonl" in point.arguments
    ]
    return point


def test_the_quick_way_finds_the_points_that_the_plain_one_finds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not quick():
        pytest.skip("this strace, or this system, has no seccomp-bpf")
    found = [(point.name, point.number) for point in points_of(world, *RUN)]
    monkeypatch.setattr(strace, "quick", plain)
    assert found == [(point.name, point.number) for point in points(world, *RUN)]
    assert found[-1] == (LAST, 1)


def test_a_kill_comes_in_front_of_the_call(world: World, line_point: Point) -> None:
    before = world.path.read_bytes()
    ended = faulty(world, line_point, KILL, *RUN)
    assert ended is not None
    assert (ended.code, ended.out) == (-9, "")
    assert world.path.read_bytes() == before
    assert len(list(world.home.rglob("*.part"))) == 1


def test_the_call_of_the_number_that_was_told_fails(world: World, line_point: Point) -> None:
    ended = faulty(world, line_point, "error=EIO", *RUN)
    assert ended is not None
    assert (ended.code, ended.json["seq"]) == (74, None)
    assert f"cannot write {world.path}" in ended.err


@pytest.mark.parametrize("fault", [KILL, "error=EIO"])
def test_a_fault_to_which_a_run_never_comes_is_told(
    world: World, line_point: Point, fault: str
) -> None:
    assert faulty(world, Point(line_point.name, 500, ""), fault, *RUN) is None
