"""What a run reads of a long session."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import CLEW, Clew
from tests.stores.made import raw_session

pytestmark = pytest.mark.cold(reason="reads are counted in the process that strace starts")

RUNS = 10_000
MOST = 256 * 1024
READ = re.compile(r"\b(?:read|pread64)\(\d+<(?P<path>[^>]*)>.*= (?P<size>\d+)$")
COUNTED = """
import os, sys
from clew.cli.main import main

real = os.pread

def pread(fd, length, offset):
    data = real(fd, length, offset)
    with open(sys.argv[1], "a") as file:
        print(f"pread64({fd}<{sys.argv[2]}>) = {len(data)}", file=file)
    return data

os.pread = pread
sys.exit(main(sys.argv[3:]))
"""


@dataclass(frozen=True)
class Cost:
    """What one command did to a session's file."""

    read: int
    written: bytes


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """A session of many runs."""
    clew = Clew(tmp_path_factory.mktemp("long"))
    path = clew.session_file("s")
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"".join(raw_session(RUNS)))
    return clew


def cost(clew: Clew, *arguments: str) -> Cost:
    """Run a command, to any end; return what it read of the session's file and added to it."""
    path = clew.session_file("s")
    before = path.read_bytes()
    trace = clew.cwd / "trace"
    trace.unlink(missing_ok=True)
    subprocess.run(
        [*_tracer(trace, path), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=clew.env,
        cwd=clew.cwd,
        check=False,
        timeout=200,
    )
    after = path.read_bytes()
    assert after.startswith(before)
    return Cost(_read(trace, path), after[len(before) :])


def _tracer(trace: Path, session: Path) -> Sequence[str | Path]:
    """Return the command with something around it that writes down each read."""
    if shutil.which("strace"):
        return ["strace", "-f", "-y", "-e", "trace=read,pread64", "-o", trace, CLEW]
    return [sys.executable, "-c", COUNTED, trace, session]


def _read(trace: Path, path: Path) -> int:
    reads = map(READ.search, trace.read_text(errors="replace").splitlines())
    return sum(int(found["size"]) for found in reads if found and found["path"] == str(path))


def test_a_turn_with_a_little_history_reads_the_end_and_writes_one_line(long: Clew) -> None:
    model = long.recording(("hi", "hello"))
    spent = cost(long, "continue", "-s", "s", "-m", model, "--history-runs", "3", "hi")
    assert 0 < spent.read < MOST
    assert spent.written.count(b"\n") == 1
    line = json.loads(spent.written)
    assert line["history"]["runs"] == 3
    assert line["history"]["left_out"] == line["session_metrics"]["turns"] - 1 - 3


@pytest.fixture(scope="module")
def summed_up(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """A session of many runs, of which the first hundred are in a summary."""
    clew = Clew(tmp_path_factory.mktemp("summed"))
    path = clew.session_file("s")
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"".join(raw_session(RUNS, summary="It began.", after=100)))
    return clew


def test_a_summary_is_found_however_far_back_without_reading_what_is_between(
    summed_up: Clew,
) -> None:
    (summed_up.cwd / "agent.yaml").write_text("add_session_summary_to_context: true\n")
    model = summed_up.recording(("hi", "hello"))
    agent = ("-a", "./agent.yaml", "-m", model, "--history-runs", "3")
    spent = cost(summed_up, "continue", "-s", "s", *agent, "hi")
    assert 0 < spent.read < MOST
    line = json.loads(spent.written)
    assert "It began." in line["messages"][0]["content"]
    assert (line["history"]["summary_seq"], line["history"]["summarized"]) == (101, 100)


def test_a_summary_is_made_of_what_one_request_takes_and_no_more_is_read(summed_up: Clew) -> None:
    asked = "Provide the summary of the conversation."
    model = summed_up.recording((asked, "It went on."), name="summary.jsonl")
    size = summed_up.session_file("s").stat().st_size
    spent = cost(summed_up, "sessions", "summarize", "s", "-m", model)
    assert 0 < spent.read < size / 2
    line = json.loads(spent.written)
    assert line["covers"]["turns"] + line["covers"]["left_out"] == line["session_metrics"]["turns"]
    again = cost(summed_up, "sessions", "summarize", "s", "-m", model)
    assert (again.written, again.read < MOST) == (b"", True)


def test_a_run_without_history_reads_the_end(long: Clew) -> None:
    spent = cost(long, "run", "-s", "s", "-m", long.recording(("hi", "hello")), "hi")
    assert 0 < spent.read < MOST
    assert spent.written.count(b"\n") == 1


@pytest.mark.parametrize(
    "reading", [("state",), ("history", "-n", "3"), ("history", "-n", "3", "--json")]
)
def test_a_look_at_the_end_reads_the_end_and_writes_nothing(
    long: Clew, reading: tuple[str, ...]
) -> None:
    spent = cost(long, reading[0], "-s", "s", *reading[1:])
    assert 0 < spent.read < MOST
    assert spent.written == b""


def test_a_change_of_the_state_reads_the_end(long: Clew) -> None:
    spent = cost(long, "state", "-s", "s", "set", "a=1")
    assert 0 < spent.read < MOST
    assert spent.written.count(b"\n") == 1


@pytest.mark.parametrize("run_id", ["job-7", str(uuid4())], ids=["word", "uuid"])
def test_a_repeatable_run_reads_the_end_the_first_time_and_when_it_is_repeated(
    long: Clew, run_id: str
) -> None:
    model = long.recording(("hi", "hello"))
    for written in (1, 0):
        spent = cost(long, "run", "-s", "s", "--run-id", run_id, "-m", model, "hi")
        assert 0 < spent.read < MOST
        assert spent.written.count(b"\n") == written


def test_the_id_of_an_earlier_run_that_clew_made_up_is_found_however_far_back(long: Clew) -> None:
    model = long.recording(("hi", "hello"))
    earlier = long("run", "-s", "s", "--json", "-m", model, "hi").json
    call = ("run", "-s", "s", "--json", "-m", model, "--run-id", earlier["run_id"], "hi")
    for _ in range(2):
        assert long(*call).json == earlier


def test_a_list_and_a_name_read_whole_sessions_once_and_then_only_the_ends(long: Clew) -> None:
    shutil.rmtree(long.home / "users" / "default" / ".cache", ignore_errors=True)
    reading = (("sessions", "list"), ("sessions", "path", "@nobody"))
    first = cost(long, *reading[0])
    assert first.read > long.session_file("s").stat().st_size
    for arguments in reading:
        assert cost(long, *arguments).read < 2 * MOST


def test_a_list_of_sessions_reads_only_the_ends_of_each(long: Clew) -> None:
    long("run", "-q", "--name", "short", "-m", long.recording(("hi", "hello")), "hi")
    spent = cost(long, "sessions", "list")
    assert 0 < spent.read < 2 * MOST


def test_a_run_with_a_new_id_reads_the_end(long: Clew) -> None:
    model = long.recording(("hi", "hello"))
    spent = cost(long, "run", "-s", "s", "-m", model, "--run-id", "new", "hi")
    assert 0 < spent.read < MOST
