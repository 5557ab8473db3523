"""What a command reads does not grow with the session, nor with the number of sessions."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Clew
from tests.stores_made import long_session, many_sessions

PROGRAM = """
import json, sys
from clew.cli.main import main
seen = []
def listen(event, arguments):
    if event in ("open", "os.scandir", "os.listdir"):
        seen.append((event, str(arguments[0])))
sys.addaudithook(listen)
code = main(sys.argv[1:])
io = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
sys.stderr.write("\\n" + json.dumps({"read": int(io["rchar"]), "seen": seen}))
sys.exit(code)
"""
LITTLE = 1 << 18
"""Bytes: more than one reads to find a line from either end, less than the long sessions have."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="this system does not tell what a process has read"
)


@dataclass(frozen=True)
class Touched:
    """What a command read: how many bytes, how many files of the home, which folders of it."""

    read: int
    files: int
    folders: set[str]


def touched(clew: Clew, *arguments: str) -> Touched:
    """Return what a successful call of clew touches when it is made for the second time."""
    clew.inside(PROGRAM, *arguments)  # makes what is made once: locks, caches, pointers
    done = clew.inside(PROGRAM, *arguments)
    told = json.loads(done.stderr.splitlines()[-1])
    ours = [(event, path) for event, path in told["seen"] if path.startswith(str(clew.home))]
    folders = {path for event, path in ours if event != "open"}
    return Touched(told["read"], sum(event == "open" for event, _ in ours), folders)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """Sessions `short` and `long` (10 and 2,000 runs), users `few` and `many` (as many sessions),
    each with a session `s` that was used last."""
    clew = Clew(tmp_path_factory.mktemp("grown"))
    clew.env["CLEW_MODEL"] = clew.recording(("hi", "hello"))
    run = clew("run", "-s", "s", "--json", "hi").json
    for name, count in (("short", 10), ("long", 2000)):
        long_session(clew.home, "default", name, run, count)
    for user, count in (("few", 10), ("many", 2000)):
        many_sessions(clew.home, user, run, count)
        clew("run", "-u", user, "-s", "s", "hi")
    return clew


@pytest.mark.parametrize(
    "command",
    [
        ("run", "-q", "hi"),
        ("continue", "-q", "--history-runs", "10", "hi"),
        ("history", "-n", "10"),
        ("state", "get", "x", "--default", ""),
        ("state", "set", "x=1"),
        ("metrics",),
        ("metrics", "--json"),
        ("sessions", "show"),
        ("sessions", "path"),
    ],
    ids=" ".join,
)
def test_a_command_reads_no_more_of_a_long_session(grown: Clew, command: tuple[str, ...]) -> None:
    short, long = (touched(grown, *command, "-s", name) for name in ("short", "long"))
    assert abs(long.read - short.read) < LITTLE < grown.session_file("long").stat().st_size
    assert (long.files, long.folders) == (short.files, short.folders)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "-q", "hi"),
        ("run", "-q", "-s", "s", "hi"),
        ("continue", "-q", "hi"),
        ("history", "-n", "10"),
        ("state", "get", "x", "--default", ""),
        ("state", "set", "x=1"),
        ("metrics",),
        ("sessions", "show"),
    ],
    ids=" ".join,
)
def test_a_command_reads_no_more_where_there_are_many_sessions(
    grown: Clew, command: tuple[str, ...]
) -> None:
    few, many = (touched(grown, *command, "-u", user) for user in ("few", "many"))
    assert abs(many.read - few.read) < LITTLE
    assert many.files == few.files
    assert str(grown.session_file("s", "many").parent) not in many.folders
