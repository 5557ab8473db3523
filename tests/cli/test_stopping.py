"""Signals at other times than in mid-answer: early, late, twice, and while clew waits."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.core.store import Waiting
from clew.stores import JsonlStore
from clew.stores.locks import hold
from tests.conftest import Clew, eventually
from tests.provider import Provider
from tests.stuck import stuck
from tests.warmth import maker

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STALL = """
import sys

class Stall:
    def find_spec(self, name, path=None, target=None):
        if name == "clew.cli.main":
            open(GATE).read()
        return None

sys.meta_path.insert(0, Stall())
"""
HAS_PROC = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")


def part_files(clew: Clew) -> list[Path]:
    return list(clew.home.rglob("*.part"))


@pytest.fixture
def gate(clew: Clew) -> Iterator[Path]:
    """A pipe at which every clew stands still while it is loading, until somebody opens it."""
    pipe = clew.cwd / "gate"
    os.mkfifo(pipe)
    (clew.cwd / "sitecustomize.py").write_text(STALL.replace("GATE", repr(str(pipe))))
    clew.env["PYTHONPATH"] = str(clew.cwd)
    yield pipe


def test_an_interrupt_while_clew_is_loading_ends_it_without_a_word(clew: Clew, gate: Path) -> None:
    process = clew.start("run", "hi")
    with gate.open("w"):  # both ends are open: it is loading
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=200)
    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"")
    assert not clew.home.exists()


@pytest.mark.parametrize("options", [(), ("-q",)], ids=["", "-q"])
def test_a_run_that_was_stopped_names_its_session(clew: Clew, options: tuple[str, ...]) -> None:
    with stuck(clew, "run", *options) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=200)
    [path] = (clew.home / "users" / "default").glob("*.jsonl")
    assert f"clew: session {path.stem}\n".encode() in err
    assert process.returncode == -signal.SIGTERM


@HAS_PROC
def test_a_second_signal_does_not_wait_and_loses_nothing(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    lock = clew.session_file("s").with_suffix(".append.lock")
    with hold(str(lock), "the file", Waiting(0)), stuck(clew, "run", "-s", "s") as process:
        process.send_signal(signal.SIGTERM)
        eventually(lambda: not caught(process, signal.SIGINT))
        process.send_signal(signal.SIGINT)
        assert process.wait(200) == -signal.SIGINT
    _, line = clew("history", "-s", "s", "--json").lines
    assert (line["status"], line["seq"]) == ("INTERRUPTED", None)
    assert line["content"].startswith("word")


def caught(process: "subprocess.Popen[bytes]", signum: int) -> bool:
    """Tell whether a process handles a signal itself."""
    status = Path(f"/proc/{maker(process)}/status").read_text()
    (mask,) = (row.split()[1] for row in status.splitlines() if row.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signum - 1) & 1)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_the_session_is_busy_leaves_nothing(
    clew: Clew, model: str, signum: signal.Signals
) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    before = clew.session_file("s").read_bytes()
    with JsonlStore(str(clew.home)).session("s", "default").turn("r", Waiting(0)):
        process = clew.start("continue", "-s", "s", "two")
        assert process.stderr is not None
        assert b"waiting: " in process.stderr.readline()
        process.send_signal(signum)
        out, err = process.communicate(timeout=200)
    assert (process.returncode, out, err) == (-signum, b"", b"")
    assert clew.session_file("s").read_bytes() == before
    assert part_files(clew) == []


@pytest.mark.slow
def test_a_signal_between_two_attempts_stores_the_run_as_cancelled(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(status=503, headers={"retry-after": "50"})
    call = ["run", "-m", "openai/test-model", "-s", "s", "-o", "stream-json", "go"]
    process = clew.start(*call)
    assert process.stdout is not None
    while b'"ModelRequestError"' not in (line := process.stdout.readline()):
        assert line, "it ended early"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=200)
    (stored,) = clew.stored("s")
    assert process.returncode == -signal.SIGTERM
    assert (stored["status"], stored["exit_code"]) == ("CANCELLED", 143)
    assert [call["attempt"] for call in stored["metrics"]["details"]] == [1]
    assert b'"RunCancelled"' in out.splitlines()[-1]
    assert part_files(clew) == []
    assert len(provider.requests) == 1
