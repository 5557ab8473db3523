"""`clew sessions repair`."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.conftest import Clew


@pytest.fixture
def whole(clew: Clew, model: str) -> Clew:
    """A session `s` of five runs, its second with a state."""
    clew("run", "-m", model, "-s", "s", "one")
    clew("run", "-m", model, "-s", "s", "--state", '{"n": 1}', "two")
    for word in ("three", "four", "five"):
        clew("run", "-m", model, "-s", "s", word)
    return clew


def spoil(clew: Clew, *numbers: int, junk: bytes = b"\0\0junk") -> list[bytes]:
    """Put junk in the place of some lines; return the others."""
    path = clew.session_file("s")
    lines = path.read_bytes().splitlines(keepends=True)
    good = [line for number, line in enumerate(lines, 1) if number not in numbers]
    for number in numbers:
        lines[number - 1] = junk + b"\n"
    path.write_bytes(b"".join(lines))
    return good


def beside(clew: Clew, suffix: str) -> Path:
    """Return the one file of this kind beside the session's."""
    (found,) = clew.session_file("s").parent.glob(f"s.*{suffix}")
    return found


def test_a_whole_session_is_left_alone(whole: Clew) -> None:
    before = whole.session_file("s").read_bytes()
    assert "sessions repaired: 0, problems left: 0" in whole("sessions", "repair", "s").err
    assert whole.session_file("s").read_bytes() == before
    assert not list(whole.home.rglob("*.original"))


def test_good_lines_stay_byte_for_byte_and_one_line_tells_of_the_repair(whole: Clew) -> None:
    good = spoil(whole, 2, 4)
    whole("sessions", "repair", "s")
    after = whole.session_file("s").read_bytes().splitlines(keepends=True)
    assert after[:-1] == good
    told = json.loads(after[-1])
    assert (told["type"], told["seq"]) == ("session", 6)
    assert told["repaired"] == {"moved": 2, "gaps": [[1, 3], [3, 5]]}


def test_what_was_moved_is_said_with_line_and_reason(whole: Clew) -> None:
    spoil(whole, 2)
    out = whole("sessions", "repair", "s").out.splitlines()
    assert out[0].startswith(f"{whole.session_file('s')}:2: moved aside: not JSON")
    assert out[1] == "session s: lines are missing between seq 1 and 3"


def test_the_file_as_it_was_is_kept_and_so_are_the_bad_bytes(whole: Clew) -> None:
    spoil(whole, 2)
    before = whole.session_file("s").read_bytes()
    whole("sessions", "repair", "s")
    assert beside(whole, "original").read_bytes() == before
    assert beside(whole, "torn").read_bytes() == b"\0\0junk\n"
    for suffix in ("original", "torn", "jsonl"):
        assert stat.S_IMODE(beside(whole, suffix).stat().st_mode) == 0o600


def test_a_repaired_session_is_clean_and_goes_on(whole: Clew, model: str) -> None:
    spoil(whole, 2)
    whole("sessions", "repair", "s")
    whole("continue", "-s", "s", "-m", model, "hi")
    whole("sessions", "verify", "s")
    assert [line["seq"] for line in whole.stored("s")] == [1, 3, 4, 5, 6, 7]


def test_the_state_outlives_the_line_that_made_it(whole: Clew) -> None:
    spoil(whole, 2)
    whole("sessions", "repair", "s")
    assert whole("state", "-s", "s", "--json").json["session_state"] == {"n": 1}


def test_a_session_whose_last_line_is_damaged_can_be_written_again(whole: Clew, model: str) -> None:
    spoil(whole, 5)
    refused = whole("continue", "-s", "s", "-m", model, "hi", code=65)
    assert "clew sessions repair" in refused.err
    whole("sessions", "repair", "s")
    whole("continue", "-s", "s", "-m", model, "hi")
    whole("sessions", "verify", "s")


def test_a_line_of_another_session_is_moved_out(whole: Clew) -> None:
    stranger = whole.session_file("s").read_bytes().splitlines()[1].replace(b'"s"', b'"t"')
    spoil(whole, 2, junk=stranger)
    assert "another session" in whole("sessions", "repair", "s").out
    assert beside(whole, "torn").read_bytes() == stranger + b"\n"


def test_a_torn_end_is_moved_aside_without_a_new_file(whole: Clew) -> None:
    path = whole.session_file("s")
    before = path.read_bytes()
    path.write_bytes(before + b'{"v":1,')
    assert "a torn end of 7 bytes" in whole("sessions", "repair", "s").out
    assert path.read_bytes() == before
    assert beside(whole, "torn").read_bytes() == b'{"v":1,\n'
    assert not list(whole.home.rglob("*.original"))


def test_a_whole_line_without_its_newline_is_kept(whole: Clew) -> None:
    path = whole.session_file("s")
    spoil(whole, 2)
    path.write_bytes(path.read_bytes()[:-1])
    whole("sessions", "repair", "s")
    assert [line["seq"] for line in whole.stored("s")] == [1, 3, 4, 5, 6]


def test_lines_that_were_taken_out_by_hand_are_put_on_record_once(whole: Clew) -> None:
    path = whole.session_file("s")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[3:]))
    assert "its seq is 4, not 2" in whole("sessions", "verify", "s", code=65).out
    done = whole("sessions", "repair", "s", "--json").json
    assert (done["session_id"], done["moved"], done["gaps"]) == ("s", [], [[1, 4]])
    assert whole("sessions", "repair", "s", "--json").out == ""


def test_what_cannot_be_mended_is_said_and_exit_65(whole: Clew) -> None:
    path = whole.session_file("s")
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":2', 1))
    result = whole("sessions", "repair", "s", code=65)
    assert "session_state" in result.out
    assert "sessions repaired: 0" in result.err


def test_a_renamed_session_is_left_as_it_is(whole: Clew) -> None:
    old, new = whole.session_file("s"), whole.session_file("t")
    old.rename(new)
    before = new.read_bytes()
    assert "old name" in whole("sessions", "repair", "t", code=65).err
    assert new.read_bytes() == before


def test_a_session_of_a_later_clew_is_left_as_it_is(whole: Clew) -> None:
    path = whole.session_file("s")
    later = path.read_bytes().replace(b'"v":1', b'"v":2').replace(b'"two"', b"two")
    path.write_bytes(later)
    assert "update clew" in whole("sessions", "repair", "s", code=65).err
    assert path.read_bytes() == later


def test_all_sessions_are_repaired(whole: Clew, model: str) -> None:
    whole("run", "-m", model, "-s", "other", "one")
    spoil(whole, 2)
    assert "sessions repaired: 1, problems left: 0" in whole("sessions", "repair", "--all").err


def test_another_users_session_is_not_found(whole: Clew) -> None:
    whole("sessions", "repair", "s", "-u", "eve", code=3)


def test_a_link_in_the_place_of_the_session_is_not_followed(whole: Clew, tmp_path: Path) -> None:
    spoil(whole, 2)
    path, elsewhere = whole.session_file("s"), tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    whole("sessions", "repair", "s", code=74)
    assert elsewhere.read_bytes() == before


KILLER = """
import os, signal, sys
number, real = int(sys.argv[1]), {}

def killing(name):
    real[name] = getattr(os, name)
    def call(*arguments, **options):
        global number
        number -= 1
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real[name](*arguments, **options)
    return call

for name in ("write", "fsync", "replace", "open", "fchmod"):
    setattr(os, name, killing(name))
from clew.cli.main import main
sys.exit(main(["sessions", "repair", "s"]))
"""


@pytest.mark.slow
def test_killed_at_any_step_a_repair_loses_nothing_and_can_be_made_again(whole: Clew) -> None:
    path = whole.session_file("s")
    good = spoil(whole, 2)
    spoilt = path.read_bytes()
    for step in range(1, 200):
        path.write_bytes(spoilt)
        done = os.spawnve(
            os.P_WAIT,
            str(whole.env["PATH"].split(":")[0] + "/python"),
            ["python", "-c", KILLER, str(step)],
            whole.env,
        )
        assert path.read_bytes() == spoilt or path.read_bytes().startswith(b"".join(good))
        if done == 0:
            break
        assert done == -signal.SIGKILL
        whole("sessions", "repair", "s")
        whole("sessions", "verify", "s")
    else:
        pytest.fail("it never came to its end")
    assert step > 10
