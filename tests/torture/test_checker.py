"""The judge has teeth: each kind of damage is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew
from tests.teams import member, team
from tests.torture.checker import check, check_home

Line = dict[str, Any]


@pytest.fixture
def path(clew: Clew, model: str) -> Path:
    """A session of two runs, a change of the state, and a name."""
    clew("run", "-s", "s", "-m", model, "--run-id", "a", "--state", '{"n": {"x": 1}}', "one")
    clew("continue", "-m", model, "--run-id", "b", "--state", '{"n": {"x": null}}', "two")
    clew("state", "set", "k:=[1,null]")
    clew("sessions", "rename", "s", "trip")
    return clew.session_file("s")


def spoil(path: Path, number: int, change: Callable[[Line], object]) -> list[str]:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    change(lines[number - 1])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return check(path)


def test_what_clew_writes_is_clean(clew: Clew, path: Path) -> None:
    assert check(path, {"a", "b"}) == []
    assert check_home(clew.home) == []


def test_a_lost_run_is_told(path: Path) -> None:
    assert check(path, {"a", "b", "c"}) == ["run c was acknowledged and is lost"]


def test_a_doubled_run_is_told(path: Path) -> None:
    assert "run a stands on 2 lines" in spoil(path, 2, lambda line: line.update(run_id="a"))


def test_a_torn_end_is_told_unless_it_is_allowed(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert any("after the last newline" in wrong for wrong in check(path))
    assert check(path, torn=True) == []


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0", b"{", b"[]", b'{"a":1}{}', b'{"a":NaN}', b'{"a":1,"a":1}', b'"\xc3\xa4"', b"{}\r"],
    ids=repr,
)
def test_a_line_that_is_no_object_in_ascii_is_told(path: Path, raw: bytes) -> None:
    path.write_bytes(raw + b"\n" + path.read_bytes())
    assert check(path)[0].startswith("line 1: ")


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("seq", lambda line: line.update(seq=3)),
        ("keys", lambda line: line.pop("cwd")),
        ("keys", lambda line: line.update(v=line.pop("v"))),
        ("keys", lambda line: line.update(type="other")),
        ("session", lambda line: line.update(session_id="other")),
        ("COMPLETED", lambda line: line.update(exit_code=74)),
        ("state", lambda line: line.update(session_state={"n": {"x": 1}})),
        ("state", lambda line: line.update(state_patch=None)),
        ("requests", lambda line: line["metrics"].update(requests=2)),
        ("turns", lambda line: line["session_metrics"].update(turns=1)),
        ("pauses", lambda line: line["session_metrics"].update(open_pauses=["r"])),
    ],
)
def test_a_line_that_does_not_fit_the_others_is_told(
    path: Path, word: str, change: Callable[[Line], object]
) -> None:
    assert any(word in wrong for wrong in spoil(path, 2, change))


def test_a_lost_line_is_told(path: Path) -> None:
    raw = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(raw[1:]))
    assert "line 1: seq is 2" in check(path)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o700])
def test_a_file_that_is_not_private_is_told(clew: Clew, path: Path, mode: int) -> None:
    path.chmod(mode)
    assert check_home(clew.home) == [f"{path} has the mode {mode:o}"]


@pytest.fixture
def crew(clew: Clew) -> Path:
    """A session of one run of a team of two."""
    path = team(clew, member(clew, "ann"), member(clew, "bob"))
    clew("run", "-q", "--team", path, "-s", "s", "go")
    return clew.session_file("s")


def test_what_clew_writes_of_a_team_is_clean(crew: Path) -> None:
    assert check(crew) == []


@pytest.mark.parametrize(
    ("number", "change", "wrong"),
    [
        (3, lambda line: line["members"].pop(), "line 3: the runs inside it are"),
        (3, lambda line: line["members"].reverse(), "line 3: the runs inside it are"),
        (1, lambda line: line.update(status="ERROR", exit_code=1), "ended otherwise"),
        (3, lambda line: line["total_metrics"].update(requests=2), "line 3: requests are not"),
        (1, lambda line: line.update(parent_run_id=None), "line 3: the runs inside it are"),
    ],
    ids=["listed", "order", "status", "counted", "parent"],
)
def test_a_member_that_does_not_agree_with_its_team_is_told(
    crew: Path, number: int, change: Callable[[Line], object], wrong: str
) -> None:
    assert any(wrong in each for each in spoil(crew, number, change))


def test_a_member_that_stands_after_its_team_is_told(crew: Path) -> None:
    first, second, third = crew.read_bytes().splitlines(keepends=True)
    crew.write_bytes(first + third + second)
    assert any("after the run that it was made in" in each for each in check(crew))
