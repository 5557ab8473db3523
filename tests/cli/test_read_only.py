"""What only reads asks for no permission to write, and belongs to nobody."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CLEW, Clew

READING = [
    "history -s s --json",
    "history -s @trip",
    "history --lines",
    "history -s s --messages",
    "state -s s",
    "state -s s get a",
    "state -s s log --json",
    "sessions list --json",
    "sessions show s --json",
    "sessions path s",
    "sessions verify --all",
    "metrics --all --by model",
    "models list --json",
    "config --json",
    "continue -s s --dry-run two",
    "continue -s s --no-store two",
    "run -m MODEL --no-store two",
]
WAYS = {
    "another user": "--reuid 12345 --inh-caps=-all,+dac_read_search "
    "--ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search",
    "its owner": "--bounding-set -dac_override,-dac_read_search",
}


def content(clew: Clew) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in clew.home.rglob("*")
    }


@pytest.fixture
def closed(clew: Clew, model: str) -> Iterator[Clew]:
    """A world with a named session `s`, in which nothing may be written any more."""
    clew("run", "-m", model, "-s", "s", "--name", "trip", "--state", '{"a": 1}', "one")
    clew("run", "-m", model, "-s", "s", "unheard of", code=3)
    places = [clew.home, *clew.home.rglob("*")]
    for path in places:
        path.chmod(path.stat().st_mode & ~0o222)
    yield clew
    for path in places:
        path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not there")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", READING)
def test_a_command_that_only_reads_reads_what_it_may_not_write(
    closed: Clew, model: str, command: str, way: str
) -> None:
    before = content(closed)
    command = command.replace("MODEL", model)
    expected = closed(*command.split())
    there = closed.shell(f"setpriv {WAYS[way]} {CLEW} {command}")
    assert there.out == expected.out or "--no-store" in command
    assert there.err == expected.err
    assert content(closed) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not there")
@pytest.mark.parametrize(
    "command", ["continue -s s two", "state -s s set a=1", "sessions rename s new"]
)
@pytest.mark.parametrize("way", WAYS)
def test_a_command_that_writes_says_in_one_line_that_it_cannot(
    closed: Clew, command: str, way: str
) -> None:
    before = content(closed)
    result = closed.shell(f"setpriv {WAYS[way]} {CLEW} {command}", code=74)
    assert result.out == ""
    assert all(line.startswith(("clew: ", "  hint: ")) for line in result.err.splitlines())
    assert content(closed) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not there")
@pytest.mark.parametrize("command", ["history", "history -s s", "state -s s", "run -s s hi"])
def test_a_home_that_may_not_be_entered_is_exit_74_and_not_an_empty_one(
    closed: Clew, command: str
) -> None:
    closed.home.chmod(0)
    result = closed.shell(f"setpriv {WAYS['its owner']} {CLEW} {command}", code=74)
    closed.home.chmod(0o500)
    assert "Permission denied" in result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not there")
def test_doctor_tells_of_a_user_s_folder_that_nothing_can_be_written_to(
    clew: Clew, model: str
) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    folder = clew.session_file("s").parent
    folder.chmod(0o500)
    result = clew.shell(f"setpriv {WAYS['its owner']} {CLEW} doctor", code=74)
    folder.chmod(0o700)
    assert f"{folder}: nothing can be written there" in result.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not there")
@pytest.mark.parametrize("command", ["list --json", "verify --all", "repair --all"])
def test_a_session_that_may_not_be_read_is_told_and_does_not_hide_the_others(
    clew: Clew, model: str, command: str
) -> None:
    for session in ("a", "b"):
        clew("run", "-m", model, "-s", session, "one")
    clew.session_file("a").write_bytes(b"no line\n" + clew.session_file("a").read_bytes())
    clew.session_file("b").chmod(0)
    later = clew.session_file("a").stat().st_mtime_ns + 1
    os.utime(clew.session_file("b"), ns=(later, later))  # the one used last comes first
    code = 65 if "verify" in command else 74
    result = clew.shell(f"setpriv {WAYS['its owner']} {CLEW} sessions {command}", code=code)
    assert "b.jsonl: Permission denied" in result.err
    assert '"session_id": "a"' in result.out or f"{clew.session_file('a')}:1: " in result.out
