"""Signals and deaths of a call that a warm process makes: as if there were one process."""

import os
import signal
import subprocess
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.conftest import Clew, eventually
from tests.provider import Provider
from tests.stuck import stuck
from tests.warmth import OF_ITS_OWN, Warmth, maker

pytestmark = OF_ITS_OWN

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def child(process: "subprocess.Popen[bytes]") -> int:
    """The process that makes this call, which has begun."""
    found = maker(process)
    assert found != process.pid
    return found


def is_there(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def begun(clew: Clew, provider: Provider, gate: Event, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a run that has got half of its answer."""
    provider.answer("one two three four", gate=gate)
    wants = ("run", "-s", "s", "-m", "openai/test-model", "-o", "stream-json", "go")
    process = clew.start(*wants, **options)
    assert process.stdout is not None
    while b'"RunContent"' not in (line := process.stdout.readline()):
        assert line, "it ended early"
    return process


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_stores_the_run_and_ends_the_caller_by_it(
    warm: Clew, warmth: Warmth, provider: Provider, signum: signal.Signals
) -> None:
    with warmth.serves(1):
        process = begun(warm, provider, Event())
        process.send_signal(signum)
        out, _ = process.communicate(timeout=60)
    (line,) = warm.stored("s")
    assert process.returncode == -signum
    assert (line["status"], line["exit_code"]) == ("CANCELLED", 128 + signum)
    assert line["content"].split()[0] == "one"
    assert b'"RunCancelled"' in out.splitlines()[-1]


def test_a_caller_that_is_killed_takes_the_run_with_it(
    warm: Clew, warmth: Warmth, provider: Provider
) -> None:
    process = begun(warm, provider, Event())
    runs = child(process)
    process.kill()
    process.communicate(timeout=60)
    eventually(lambda: not is_there(runs))
    provider.answer("again")
    warm("continue", "-s", "s", "-m", "openai/test-model", "go")
    found, again = warm.stored("s")
    assert (found["status"], found["content"].split()[0]) == ("INTERRUPTED", "one")
    assert again["status"] == "COMPLETED"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGQUIT])
def test_a_caller_dies_as_the_process_that_makes_its_run(
    warm: Clew, warmth: Warmth, provider: Provider, signum: signal.Signals
) -> None:
    process = begun(warm, provider, Event())
    os.kill(child(process), signum)
    process.communicate(timeout=60)
    assert process.returncode == -signum


def test_a_run_goes_on_when_the_warm_process_is_killed(
    warm: Clew, warmth: Warmth, provider: Provider
) -> None:
    gate = Event()
    process = begun(warm, provider, gate)
    os.kill(warmth.status["pid"], signal.SIGKILL)
    gate.set()
    process.communicate(timeout=60)
    assert (process.returncode, warm.stored("s")[0]["status"]) == (0, "COMPLETED")
    eventually(lambda: not warmth.status["running"])
    assert warmth.start()["running"]


def test_a_caller_dies_when_both_are_killed(warm: Clew, warmth: Warmth, provider: Provider) -> None:
    process = begun(warm, provider, Event())
    runs = child(process)
    os.kill(warmth.status["pid"], signal.SIGKILL)
    os.kill(runs, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_a_warm_process_that_is_told_to_stop_lets_runs_come_to_their_end(
    warm: Clew, warmth: Warmth, provider: Provider
) -> None:
    gate = Event()
    process = begun(warm, provider, gate)
    pid = warmth.status["pid"]
    stopping = warm.start("warm", "stop")
    eventually(lambda: not warmth.status["running"])
    assert is_there(pid)
    gate.set()
    process.communicate(timeout=60)
    assert (process.returncode, stopping.wait(60)) == (0, 0)
    assert not is_there(pid)
    stopping.communicate()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_the_caller_ignores_is_ignored(
    warm: Clew, warmth: Warmth, provider: Provider, signum: signal.Signals
) -> None:
    gate = Event()
    before = signal.signal(signum, signal.SIG_IGN)
    try:
        process = begun(warm, provider, gate)
    finally:
        signal.signal(signum, before)
    os.kill(child(process), signum)
    process.send_signal(signum)
    gate.set()
    process.communicate(timeout=60)
    assert (process.returncode, warm.stored("s")[0]["status"]) == (0, "COMPLETED")


def test_a_caller_that_is_told_to_stop_by_its_terminal_stops_the_run_and_goes_on(
    warm: Clew, warmth: Warmth, provider: Provider
) -> None:
    gate = Event()
    # The system stops none for a terminal whose group has no shell, as that of these tests may be.
    process = begun(warm, provider, gate, process_group=0)
    runs = child(process)
    process.send_signal(signal.SIGTSTP)
    eventually(lambda: state(process.pid) == state(runs) == "T")
    process.send_signal(signal.SIGCONT)
    eventually(lambda: "T" not in (state(process.pid), state(runs)))
    gate.set()
    process.communicate(timeout=60)
    assert process.returncode == 0


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_whoever_finds_the_session_busy_is_told_the_caller_s_number(
    warm: Clew, warmth: Warmth, model: str
) -> None:
    warm("run", "-s", "s", "-m", model, "hi")
    with warmth.serves(2), stuck(warm, "continue", "-s", "s") as process:
        busy = warm("continue", "-s", "s", "--wait", "0", "-m", model, "hi", code=75)
        assert process.stdout is not None
        process.stdout.read()
    assert f"process {process.pid} on " in busy.err


def test_clew_cancel_ends_the_caller(warm: Clew, provider: Provider) -> None:
    process = begun(warm, provider, Event())
    warm("cancel", "-s", "s")
    process.communicate(timeout=60)
    assert (process.returncode, warm.stored("s")[0]["status"]) == (-signal.SIGTERM, "CANCELLED")


def test_a_tool_s_processes_end_with_a_caller_that_is_killed(
    warm: Clew, warmth: Warmth, provider: Provider
) -> None:
    function = {"name": "t", "arguments": "{}"}
    provider.answer(tool_calls=[{"id": "c1", "type": "function", "function": function}])
    mark = warm.cwd / "pid"
    tool = f"{{name: t, description: d, run: [sh, -c, 'echo $$ > {mark}; sleep 600']}}"
    process = warm.start("run", "-m", "openai/test-model", "-t", tool, "go")
    eventually(lambda: mark.exists() and mark.read_text().endswith("\n"))
    process.kill()
    process.communicate(timeout=60)
    eventually(lambda: not is_there(int(mark.read_text())))
