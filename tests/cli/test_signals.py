"""Signals: what came is stored, and clew dies of the signal."""

import json
import signal
import subprocess
import sys
from threading import Event

import pytest

from tests.conftest import Clew
from tests.provider import Provider

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(clew: Clew, provider: Provider, gate: Event, *options: str) -> "subprocess.Popen[bytes]":
    """Start a run whose answer stops after half of it, and wait until that has come."""
    provider.answer("one two three four", gate=gate)
    call = ["run", "-m", "openai/test-model", "-s", "s", "-o", "stream-json", *options, "go"]
    process = clew.start(*call)
    assert process.stdout is not None
    while b'"RunContent"' not in (line := process.stdout.readline()):
        assert line, "it ended early"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_in_mid_answer_keeps_what_came_and_clew_dies_of_it(
    clew: Clew, provider: Provider, signum: signal.Signals
) -> None:
    process = start(clew, provider, Event())
    process.send_signal(signum)
    out, _ = process.communicate(timeout=200)
    (line,) = clew.stored("s")
    assert process.returncode == -signum
    assert (line["status"], line["exit_code"]) == ("CANCELLED", 128 + signum)
    assert line["content"].split()[0] == "one"
    assert b'"RunCancelled"' in out.splitlines()[-1]


@pytest.mark.slow
def test_an_interrupt_that_the_parent_ignores_is_ignored(clew: Clew, provider: Provider) -> None:
    gate = Event()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(clew, provider, gate)
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGINT)
    gate.set()
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert clew.stored("s")[0]["status"] == "COMPLETED"


def test_a_signal_while_the_prompt_is_read_leaves_nothing(clew: Clew, model: str) -> None:
    process = clew.start("run", "-v", "-m", model, "-s", "s", stdin=subprocess.PIPE)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGTERM
    assert not clew.home.exists()


STOPPED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path

real = os.fsync
pattern, home = sys.argv[1], Path(sys.argv[2])

def fsync(fd):
    real(fd)
    synced = os.fstat(fd)
    named = any(os.path.samestat(synced, path.stat()) for path in home.rglob(pattern))
    if named and any(home.rglob("*.part")):
        os.kill(os.getpid(), signal.SIGTERM)

os.fsync = fsync
sys.argv[1:] = sys.argv[3:]
from clew.cli.entry import entry
entry()
"""


def stopped_while_writing(clew: Clew, pattern: str, *arguments: str) -> tuple[int, bytes]:
    """Run clew, which gets SIGTERM when it syncs a path of that name, its run being on record."""
    command = [sys.executable, "-c", STOPPED_WHILE_WRITING, pattern, str(clew.home), *arguments]
    none = subprocess.DEVNULL
    done = subprocess.run(
        command, env=clew.env, cwd=clew.cwd, stdin=none, capture_output=True, check=False
    )
    return done.returncode, done.stdout


def test_a_signal_while_the_line_is_written_does_not_tear_or_double_it(
    clew: Clew, model: str
) -> None:
    code, _ = stopped_while_writing(clew, "s.jsonl", "run", "-q", "-m", model, "-s", "s", "hi")
    assert code == -signal.SIGTERM
    assert list(clew.home.rglob("*.part")) == []
    assert "died" not in clew("continue", "-s", "s", "one").err
    assert [line["status"] for line in clew.stored("s")] == ["COMPLETED", "COMPLETED"]


def test_a_signal_before_anything_was_sent_leaves_no_run(clew: Clew, model: str) -> None:
    code, _ = stopped_while_writing(clew, ".inflight", "run", "-q", "-m", model, "-s", "s", "hi")
    assert code == -signal.SIGTERM
    assert list(clew.home.rglob("*.part*")) == []
    assert not clew.session_file("s").exists()


def test_a_signal_while_the_line_is_written_comes_after_the_last_event(
    clew: Clew, model: str
) -> None:
    call = ["run", "-m", model, "-s", "s", "-o", "stream-json", "hi"]
    code, out = stopped_while_writing(clew, "s.jsonl", *call)
    last = json.loads(out.splitlines()[-1])
    assert code == -signal.SIGTERM
    assert (last["event"], last["run"]) == ("RunCompleted", clew.stored("s")[0])


def test_a_signal_while_the_line_is_written_does_not_take_the_answer(
    clew: Clew, model: str
) -> None:
    call = ["run", "-q", "-m", model, "-s", "s", "hi"]
    assert stopped_while_writing(clew, "s.jsonl", *call) == (-signal.SIGTERM, b"hello\n")
    assert stopped_while_writing(clew, "s.jsonl", *call, "-O", "answer")[0] == -signal.SIGTERM
    assert (clew.cwd / "answer").read_text() == "hello\n"


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_a_request_that_was_sent_counts_by_estimate_however_its_run_is_ended(
    clew: Clew, provider: Provider, signum: signal.Signals
) -> None:
    provider.answer(fault="hang")
    process = clew.start("run", "-q", "-s", "s", "-m", "openai/test-model", "one two three")
    provider.wait_for_requests(1)
    process.send_signal(signum)
    process.communicate(timeout=200)
    clew("run", "-q", "-s", "s", "-m", clew.recording(("hi", "hello")), "hi")
    (call,) = clew.stored("s")[0]["metrics"]["details"]
    assert (call["estimated"], call["output_tokens"]) == (True, 0)
    assert call["total_tokens"] == call["input_tokens"] > 0
