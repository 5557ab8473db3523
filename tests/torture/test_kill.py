"""Five hundred `kill -9` at random moments, most of them while a line is written or recovered."""

import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew
from tests.provider import Provider
from tests.torture.checker import check, check_home
from tests.torture.conftest import Figure, in_memory
from tests.torture.without import without

SEED = 20260905


@dataclass(frozen=True)
class Size:
    """An answer, how often its run is killed on each disk, and how often in one session."""

    name: str
    word: int
    words: int
    kills: int
    kills_a_session: int

    @property
    def answer(self) -> str:
        return " ".join(["x" * (self.word - 1)] * self.words)


SIZES = [
    Size("2 KB", 20, 100, 160, 25),
    Size("1 MB", 10_000, 100, 75, 6),
    Size("12 MB", 200_000, 60, 15, 2),
]


@dataclass
class Lane:
    """Sessions whose runs are killed, and what has to be in them."""

    clew: Clew
    size: Size
    random: random.Random
    usual: dict[str, float] = field(default_factory=dict)
    session: str = ""
    number: int = 0
    acknowledged: set[str] = field(default_factory=set)
    noted: dict[str, str] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def path(self) -> Path:
        return self.clew.session_file(self.session)

    @property
    def records(self) -> set[Path]:
        return set(self.path.parent.glob(".inflight/*.part"))

    def begin(self, session: str) -> None:
        """Go on with an empty session."""
        if self.session:
            self.path.unlink()
        self.session = session
        self.acknowledged.clear()
        self.noted.clear()
        self.run()

    def command(self, run: str) -> list[str]:
        history = self.path.exists() and self.random.random() < 0.3
        verb = ("continue", "--history-runs", "2") if history else ("run",)
        return [*verb, "-q", "-s", self.session, "--run-id", run, "hi"]

    def next_id(self) -> str:
        self.number += 1
        return f"{self.session}-{self.number}"

    def run(self) -> None:
        """Run to the end, without a repair: that has to work."""
        run = self.next_id()
        done = self.clew(*self.command(run))
        assert done.out == self.size.answer + "\n"
        assert done.err.count("\n") == done.err.count("skipped: a torn end") + done.err.count(
            "had died and was stored"
        )
        self.acknowledged.add(run)

    def repeat(self, command: list[str]) -> None:
        """Make the killed call again: a stored run is told, and no model is asked."""
        run = command[command.index("--run-id") + 1]
        stored = [line for line in self.lines() if line["run_id"] == run]
        finished = [line for line in stored if line["status"] == "COMPLETED"]
        done = self.clew(*command, "--json")
        assert done.json["content"] == self.size.answer
        assert done.json["resumes"] in (None, run)
        if finished:
            assert [done.json] == finished
        self.tally["repeated, stored before"] += bool(finished)

    def lines(self) -> Iterator[Any]:
        for raw in self.path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(raw)

    def kill(self) -> list[str]:
        """Start a run and kill it; return its command. It may have been too fast."""
        run = self.next_id()
        command = self.command(run)
        event = self.random.choice(list(self.usual))
        pause = self.random.uniform(0, self.usual[event])
        with tempfile.TemporaryFile() as out:
            happened = self.watch(event)
            process = self.clew.start(*command, stdout=out, stderr=subprocess.DEVNULL)
            wait_for(happened, process)
            time.sleep(pause)
            process.kill()
            killed = process.wait() != 0
            out.seek(max(0, out.seek(0, os.SEEK_END) - 1))
            told = out.read() == b"\n"
        if told:
            self.acknowledged.add(run)
        if killed:
            self.look(told=told)
        return command

    def look(self, *, told: bool) -> None:
        """Note what a killed run left."""
        for record in self.records:
            self.noted |= noted(record)
        self.tally["killed"] += 1
        self.tally["torn end"] += not self.path.read_bytes().endswith(b"\n")
        self.tally["in flight"] += bool(self.records)
        self.tally["acknowledged"] += told

    def watch(self, event: str) -> Callable[[], bool]:
        """Return what tells whether a run begins, is about to write, or is writing its line."""
        if event == "begins":
            before = self.records
            return lambda: bool(self.records - before)
        if event == "writes":
            size = self.path.stat().st_size
            return lambda: self.path.stat().st_size > size
        lock = self.path.with_suffix(".append.lock")
        old = lock.stat().st_mtime_ns if lock.exists() else 0
        return lambda: lock.exists() and lock.stat().st_mtime_ns != old

    def measure(self) -> None:
        """Learn how long a run usually goes on from each of these moments."""
        for event in ("begins", "locks", "writes"):
            self.usual[event] = statistics.median(self.time(event) for _ in range(3))

    def time(self, event: str) -> float:
        happened = self.watch(event)
        process = self.clew.start(*self.command(self.next_id()), stdout=subprocess.DEVNULL)
        wait_for(happened, process)
        started = time.monotonic()
        process.communicate()
        return time.monotonic() - started

    def judge(self) -> None:
        """After a run that was not killed, nothing is lost, doubled, bad, or left in flight."""
        assert check(self.path, self.acknowledged) == []
        assert self.records == set()
        came_back = {line["run_id"]: line for line in self.lines()}
        for run, text in self.noted.items():
            line = came_back[run]
            self.tally["came back"] += line["status"] == "INTERRUPTED"
            whole = line["status"] == "COMPLETED"
            assert line["content"] == (self.size.answer if whole else text)
        self.noted.clear()


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for an event, or for the process's end."""
    while process.poll() is None and not happened():
        time.sleep(0.0001)


def noted(record: Path) -> dict[str, str]:
    """Return the run that a record tells of, and the text in it, read without clew."""
    first, *notes = map(json.loads, record.read_bytes().split(b"\n")[:-1])
    return {first["intent"]["run_id"]: "".join(note.get("text", "") for note in notes)}


def kill_many(lane: Lane) -> None:
    size, tally = lane.size, lane.tally
    while tally["killed"] < size.kills:
        if lane.number == 0 or tally["killed"] >= tally["sessions"] * size.kills_a_session:
            lane.begin(f"s{tally['sessions']}")
            tally["sessions"] += 1
            if not lane.usual:
                lane.measure()
        command = lane.kill()
        after = lane.random.random()
        last = tally["killed"] >= min(size.kills, tally["sessions"] * size.kills_a_session)
        if after < 0.4 and not last:
            continue  # and kill the run that recovers this one
        if after < 0.7:
            lane.repeat(command)
        else:
            lane.run()
        lane.judge()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
@pytest.mark.parametrize("disk", ["disk", "memory"])
def test_no_kill_loses_doubles_or_tears_a_line(
    clew: Clew, disk: str, size: Size, figure: Figure, request: pytest.FixtureRequest
) -> None:
    if disk == "memory":
        folder = request.getfixturevalue("memory")
        clew.home = folder / "home"
        clew.env["CLEW_HOME"] = str(clew.home)
    clew.env["CLEW_MODEL"] = clew.recording(("hi", size.answer))
    lane = Lane(clew, size, random.Random(SEED))
    kill_many(lane)
    assert check_home(clew.home) == []
    told = ", ".join(f"{value} {name}" for name, value in lane.tally.items() if name != "killed")
    usual = "/".join(f"{1000 * value:.0f}" for value in lane.usual.values())
    figure(
        f"kill -9, {size.name}, {disk}",
        f"{lane.tally['killed']} kills, 0 lost, 0 bad; {told}; within {usual} ms; seed {SEED}",
    )


@pytest.fixture
def memory(clew: Clew) -> Iterator[Path]:
    with in_memory(clew) as folder:
        yield folder


def test_a_run_killed_between_disk_and_answer_is_told_again_without_the_model(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(" ".join(f"{number:0200}" for number in range(1000)))
    same = ("run", "--json", "--run-id", "it", "-m", "openai/test-model", "hi")
    for _ in range(2):
        process = clew.start(*same)
        assert process.stdout is not None
        assert process.stdout.read(1) == b"{"  # it is stored, and stands in front of a full pipe
        process.kill()
        process.communicate()
    assert clew(*same).json == clew.stored("it")[0]
    assert len(provider.requests) == 1
    assert check(clew.session_file("it"), {"it"}) == []


# Teeth


def test_without_healing_the_suite_fails(clew: Clew, model: str) -> None:
    clew("run", "-q", "-s", "s", "-m", model, "hi")
    with clew.session_file("s").open("ab") as file:
        file.write(b'{"torn')
    without(clew, "heal")("run", "-q", "-s", "s", "-m", model, "hi")
    assert any("line 2" in wrong for wrong in check(clew.session_file("s")))


def test_without_looking_for_a_dead_run_s_line_the_suite_fails(clew: Clew) -> None:
    clew.env["CLEW_MODEL"] = clew.recording(("hi", "x" * 500_000))
    process = clew.start("run", "-s", "s", "--run-id", "it", "--stream", "hi")
    assert process.stdout is not None
    assert process.stdout.read(1) == b"x"
    process.kill()
    process.communicate()
    [record] = clew.home.rglob("*.part")
    raw = record.read_bytes()
    clew("run", "-q", "-s", "s", "hi")
    record.write_bytes(raw)
    without(clew, "look")("run", "-q", "-s", "s", "hi")
    assert "run it stands on 2 lines" in check(clew.session_file("s"))
