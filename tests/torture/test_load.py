"""Many processes on few sessions, all at once."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from subprocess import Popen
from typing import Any

import pytest

from tests.conftest import Clew, jq
from tests.provider import Provider
from tests.stuck import stuck
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.without import without

PROCESSES = 32
SERIAL = 26
RUNS = 25
LONG_RUNS = 6
LOOP = """
for number in $(seq {runs}); do
    clew {command} --json hi >> {out} || exit 1
done
"""


def loop(clew: Clew, out: str, runs: int, *command: str) -> "Popen[bytes]":
    """Start a shell that runs a command so many times, and appends what it prints to a file."""
    path = clew.cwd / out
    script = LOOP.format(runs=runs, command=" ".join(command), out=path)
    return Popen(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clew.env,
        cwd=clew.cwd,
    )


def finish(processes: Sequence["Popen[bytes]"]) -> None:
    for process in processes:
        _, err = process.communicate(timeout=1800)
        assert (process.returncode, err) == (0, b"")


def told(clew: Clew, out: str) -> list[Any]:
    """Every line that was printed into files of this name."""
    paths = sorted(clew.cwd.glob(out))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def test_eight_hundred_runs_by_32_processes_on_one_session_are_all_kept_in_turn(
    clew: Clew, model: str, figure: Figure
) -> None:
    clew.env["CLEW_MODEL"] = model
    clew("run", "-q", "-s", "s", "hi")
    serial = [loop(clew, f"c{n}", RUNS, "continue -q -s s") for n in range(SERIAL)]
    beside = [loop(clew, f"r{n}", RUNS, "run -q -s s") for n in range(PROCESSES - SERIAL)]
    finish(serial + beside)
    lines = clew.stored("s")
    printed = told(clew, "c*") + told(clew, "r*")
    assert len(printed) == PROCESSES * RUNS
    assert sorted(printed, key=lambda line: line["seq"]) == lines[1:]
    assert check(clew.session_file("s"), {line["run_id"] for line in printed}) == []
    turns = [line for line in lines if line["options"]["history"]]
    assert len(turns) == SERIAL * RUNS
    assert misses(turns) == []
    figure(
        f"{PROCESSES} processes x {RUNS} runs on one session",
        "0 lost, 0 torn, 0 doubled; every turn saw its predecessor",
    )


def misses(turns: list[Any]) -> list[tuple[Any, Any]]:
    """Return the turns that did not see the one before; each sees all that it says it saw."""
    wrong = []
    for before, turn in pairwise(turns):
        last = turn["history"]["last_seq"]
        if last is None or last < before["seq"] or turn["history"]["runs"] != last:
            wrong.append((before["seq"], turn["seq"]))
    return wrong


def test_long_answers_in_several_sessions_are_all_kept_and_readers_never_fail(
    clew: Clew, figure: Figure
) -> None:
    clew.env["CLEW_MODEL"] = clew.recording(("hi", "word " * 200_000))
    sessions = ("a", "b", "c")
    for session in sessions:
        clew("run", "-q", "--no-stream", "-s", session, "hi")
    writers = [
        loop(clew, f"{session}{n}", LONG_RUNS, f"run -q --no-stream -s {session}")
        for session in sessions
        for n in range(4)
    ]
    with reading(clew, "a") as seen:
        finish(writers)
    for session in sessions:
        printed = {line["run_id"] for line in told(clew, f"{session}*")}
        assert len(printed) == 4 * LONG_RUNS
        assert check(clew.session_file(session), printed) == []
    assert seen[-1] > 1
    figure("readers beside writers of 1 MB lines", f"{len(seen)} reads, 0 errors")


@contextmanager
def reading(clew: Clew, session: str) -> Iterator[list[int]]:
    """Read a session over and over; what is read is always whole, and never gets less."""
    stop = threading.Event()
    counts: list[int] = []
    failed: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                lines = clew("history", "-s", session, "--json", "-n", "3").out
                numbers = [int(number) for number in jq(".seq", lines).split()]
                last = numbers[-1]
                assert numbers == list(range(max(1, last - 2), last + 1))
                assert last >= max(counts, default=1)
                counts.append(last)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join()
    assert failed == []


def test_two_equal_calls_at_once_are_one_model_call_and_get_the_same_line(
    clew: Clew, provider: Provider, figure: Figure
) -> None:
    gate = threading.Event()
    provider.answer("one two three", gate=gate)
    same = ("run", "-q", "--json", "--run-id", "it", "-m", "openai/test-model", "hi")
    callers = [clew.start(*same) for _ in range(2)]
    provider.wait_for_requests(1)
    late = clew.start(*same)
    gate.set()
    outs = [caller.communicate(timeout=200) for caller in [*callers, late]]
    assert [err for _, err in outs] == [b""] * 3
    assert {out for out, _ in outs} == {clew.session_file("it").read_bytes()}
    assert len(provider.requests) == 1
    figure("equal --run-id at once", "3 callers, one model call, the same line for all")


def test_whoever_waits_is_told_who_has_the_session_while_it_still_has_it(
    clew: Clew, model: str, figure: Figure
) -> None:
    clew("run", "-q", "-s", "s", "-m", model, "hi")
    with stuck(clew, "continue", "-s", "s") as holder:
        waiter = clew.start("continue", "-q", "-s", "s", "-m", model, "hi", stderr=subprocess.PIPE)
        loud = clew.start("continue", "-s", "s", "-m", model, "hi")
        assert loud.stderr is not None
        said = next(line for line in loud.stderr if b"waiting" in line)
        assert f"process {holder.pid} ".encode() in said
        assert holder.poll() is None
        assert holder.stdout is not None
        holder.stdout.read()  # lets it finish
        assert holder.wait() == 0
        for process in (waiter, loud):
            process.communicate()
            assert process.returncode == 0
    assert [line["history"]["last_seq"] for line in clew.stored("s")] == [None, 1, 2, 3]
    figure("whoever waits", "is told the holder's pid while it still holds the turn")


def test_a_holder_that_was_stopped_is_named_when_the_wait_is_over(clew: Clew, model: str) -> None:
    clew("run", "-q", "-s", "s", "-m", model, "hi")
    with stuck(clew, "continue", "-s", "s") as holder:
        holder.send_signal(signal.SIGSTOP)
        ended = clew("continue", "--wait", "1", "-s", "s", "-m", model, "hi", code=75)
        assert f"process {holder.pid} " in ended.err
        assert clew("run", "-q", "-s", "s", "-m", model, "hi").out == "hello\n"  # beside it
        holder.send_signal(signal.SIGCONT)
        assert holder.stdout is not None
        holder.stdout.read()
        assert holder.wait() == 0
    assert check(clew.session_file("s")) == []
    assert len(clew.stored("s")) == 3


# Teeth


def test_without_locks_the_suite_fails(clew: Clew, model: str) -> None:
    clew.env["CLEW_MODEL"] = model
    clew("run", "-q", "-s", "s", "hi")
    without(clew, "lock")
    for attempt in range(20):
        for process in [loop(clew, f"{attempt}-{n}", 3, "continue -q -s s") for n in range(8)]:
            process.communicate()
        raw = clew.session_file("s").read_bytes()
        if check(clew.session_file("s")) and misses([json.loads(one) for one in raw.splitlines()]):
            return
    pytest.fail("nothing went wrong without locks")
