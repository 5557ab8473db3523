"""`clew sessions verify`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Clew

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def whole(clew: Clew, model: str) -> Clew:
    """A session `s` with a line of each type, its third a run that changes the state."""
    clew("run", "-m", model, "-s", "s", "--name", "trip", "one")
    clew("run", "-m", model, "-s", "s", "--state", '{"n": 1}', "two")
    clew("state", "-s", "s", "set", "n:=2")
    clew("run", "-m", model, "-s", "s", "nobody was asked this", code=3)
    clew("continue", "-s", "s", "three")
    return clew


def change(clew: Clew, number: int, how: Change) -> None:
    """Change a stored line as an editor would."""
    path = clew.session_file("s")
    raw = path.read_bytes().split(b"\n")
    line = json.loads(raw[number - 1])
    how(line)
    raw[number - 1] = json.dumps(line, separators=(",", ":")).encode()
    path.write_bytes(b"\n".join(raw))


def test_what_clew_wrote_is_clean(whole: Clew) -> None:
    result = whole("sessions", "verify", "-s", "s")
    assert result.out == ""
    assert "sessions checked: 1, problems found: 0" in result.err


def test_all_sessions_of_the_user_are_checked(whole: Clew, model: str) -> None:
    whole("run", "-m", model, "-s", "other", "one")
    whole("run", "-m", model, "-u", "bob", "-s", "his", "one")
    assert "sessions checked: 2" in whole("sessions", "verify", "--all").err


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda line: line.update(seq=9), "its seq is 9, not 3"),
        (lambda line: line["session_state"].update(n=5), "session_state"),
        (lambda line: line["session_metrics"].update(runs=7), "session_metrics"),
        (lambda line: line.update(state_patch={"n": 9}), "session_state"),
        (lambda line: line.pop("metadata"), "metadata"),
        (lambda line: line.update(status="DONE"), "status"),
        (lambda line: line.update(session_id="other"), "a line of session 'other'"),
        (lambda line: line.update(v=2), "written by a later clew"),
    ],
)
def test_a_line_that_clew_did_not_write_so_is_found(whole: Clew, how: Change, reason: str) -> None:
    change(whole, 3, how)
    result = whole("sessions", "verify", "-s", "s", code=65)
    first = result.out.splitlines()[0]
    assert first.startswith(f"{whole.session_file('s')}:3: ")
    assert reason in first


def test_a_run_that_is_there_twice_is_found(whole: Clew) -> None:
    twin = whole.stored("s")[1]["run_id"]
    change(whole, 3, lambda line: line.update(run_id=twin))
    assert f"run {twin!r} is there twice" in whole("sessions", "verify", "-s", "s", code=65).out


def test_what_is_no_line_is_found_and_the_lines_after_it_are_checked(whole: Clew) -> None:
    path = whole.session_file("s")
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"\0\0\0"
    path.write_bytes(b"\n".join(lines))
    found = whole("sessions", "verify", "-s", "s", "--json", code=65).lines
    assert [problem["line"] for problem in found] == [2]


def test_a_torn_end_is_found_and_nothing_is_changed(whole: Clew) -> None:
    path = whole.session_file("s")
    torn = path.read_bytes() + b'{"v":1,"ty'
    path.write_bytes(torn)
    assert "a torn end of 10 bytes" in whole("sessions", "verify", "-s", "s", code=65).out
    assert path.read_bytes() == torn
