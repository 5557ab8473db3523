"""`clew cancel`: stopping a run from another process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.core.ids import digest
from tests.conftest import Clew, eventually

SLOW = """
import sys
sys.path.insert(0, ".")
from clew.core.model import ModelReply
from clew.core.usage import no_usage
import clew.core.models

class Slow:
    name, takes_schema, window, price = "slow", True, None, None

    def ask(self, request, on_text):
        import time
        on_text("as far as it came")
        while True:
            time.sleep(0.05)

clew.core.models.resolve = lambda *a, **k: Slow()
import clew.core.agent
clew.core.agent.resolve = lambda *a, **k: Slow()
from clew.cli.entry import entry
entry()
"""


@pytest.fixture
def slow(clew: Clew) -> Iterator["subprocess.Popen[bytes]"]:
    """A run `r` of session `s` whose answer never ends, seen under way."""
    process = started(clew, "s", "r")
    yield process
    process.kill()
    process.communicate()


def started(clew: Clew, session: str, run: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", SLOW, "run", "-s", session, "--run-id", run, "--json", "hi"]
    process = subprocess.Popen(
        command,
        env=clew.env,
        cwd=clew.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    path = clew.home / "users" / "default" / ".inflight" / f"{session}~{digest(run)}.part"
    eventually(lambda: path.exists() and b"as far" in path.read_bytes())
    return process


def found(records: Path, session: str) -> list[Path]:
    return list(records.glob(f"{session}~*.part"))


def test_a_run_is_cancelled_by_its_session(clew: Clew, slow: "subprocess.Popen[bytes]") -> None:
    line = clew("cancel", "--wait", "100", "-s", "s", "--json").json
    assert (line["status"], line["exit_code"]) == ("CANCELLED", 143)
    assert line["content"] == "as far as it came"
    assert clew.stored("s") == [line]
    out, _ = slow.communicate(timeout=200)
    assert (slow.returncode, json.loads(out)) == (-signal.SIGTERM, line)


def test_a_run_is_cancelled_by_its_id(clew: Clew, slow: "subprocess.Popen[bytes]") -> None:
    assert "run r is CANCELLED" in clew("cancel", "--wait", "100", "r").err
    assert slow.wait(200) == -signal.SIGTERM


def test_a_cancelled_run_can_be_gone_on_with(
    clew: Clew, slow: "subprocess.Popen[bytes]", model: str
) -> None:
    clew("cancel", "--wait", "100", "-s", "s")
    line = clew("continue", "-s", "s", "--resume", "-m", model, "--json").json
    assert (line["resumes"], line["content"]) == ("r", "hello")


def test_a_run_that_is_not_under_way_is_exit_3(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "hi")
    assert "no run is under way in session s" in clew("cancel", "-s", "s", code=3).err
    assert "'r'" in clew("cancel", "r", code=3).err
    assert "'r'" in clew("cancel", "r", "-s", "s", code=3).err


def test_one_of_several_runs_has_to_be_named(clew: Clew, slow: "subprocess.Popen[bytes]") -> None:
    other = started(clew, "s", "r2")
    err = clew("cancel", "-s", "s", code=2).err
    assert "2 runs are under way" in err
    assert "r, r2" in err
    clew("cancel", "--wait", "100", "r2")
    assert other.wait(200) == -signal.SIGTERM
    assert slow.poll() is None
    other.communicate()


def test_another_users_run_is_not_found(clew: Clew, slow: "subprocess.Popen[bytes]") -> None:
    clew("cancel", "r", "-u", "eve", code=3)
    clew("cancel", "-s", "s", "-u", "eve", code=3)
    assert slow.poll() is None


def test_a_run_that_does_not_end_in_time_is_exit_75(
    clew: Clew, slow: "subprocess.Popen[bytes]"
) -> None:
    slow.send_signal(signal.SIGSTOP)
    assert "has not ended yet" in clew("cancel", "r", "--wait", "0.2", code=75).err
    slow.send_signal(signal.SIGCONT)
    assert slow.wait(200) == -signal.SIGTERM
    assert clew.stored("s")[0]["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (b'"host":"elsewhere","was":"', b"elsewhere, out of reach"),
        (b'"pid":"x","host":"', b"not made by a clew command"),
    ],
)
def test_no_process_is_signalled_that_might_be_another(
    clew: Clew, slow: "subprocess.Popen[bytes]", change: bytes, reason: bytes
) -> None:
    (record,) = found(clew.home / "users" / "default" / ".inflight", "s")
    record.write_bytes(record.read_bytes().replace(b'"host":"', change))
    assert reason.decode() in clew("cancel", "r", code=2).err
    assert slow.poll() is None


def listed(clew: Clew) -> list[Any]:
    return clew("sessions", "list", "--json").lines


def test_a_program_that_uses_the_library_is_not_killed(clew: Clew) -> None:
    program = SLOW.split("from clew.cli.entry", maxsplit=1)[0] + (
        "from clew.core import Agent\n"
        "from clew.stores import JsonlStore\n"
        f"Agent(model=Slow()).run('hi', session_id='s', store=JsonlStore({str(clew.home)!r}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], env=clew.env, cwd=clew.cwd) as process:
        eventually(lambda: found(clew.home / "users" / "default" / ".inflight", "s"))
        eventually(lambda: [one["running"] for one in listed(clew)] == [True])
        assert "not made by a clew command" in clew("cancel", "-s", "s", code=2).err
        assert process.poll() is None
        process.kill()
