"""Disks that are full, or become full, and files that may not grow."""

import resource
import shutil
import threading
from pathlib import Path

import pytest

from tests.conftest import Clew, Result, eventually
from tests.provider import Provider
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.without import without

LONG = " ".join(f"word{number:05}" for number in range(10_000))


def fill(disk: Path, free: int = 0) -> Path:
    """Fill a disk up to so many free bytes, and return the file that does it."""
    path = disk / "fill"
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - free))
    return path


@pytest.mark.parametrize("lived_in", [False, True], ids=["empty", "lived-in"])
def test_a_full_disk_is_told_before_the_model_is_asked(
    clew: Clew, small_disk: Path, provider: Provider, model: str, lived_in: bool
) -> None:
    if lived_in:
        clew("run", "-q", "-s", "s", "-m", model, "hi")
    fill(small_disk)
    ended = clew("run", "-s", "s", "--json", "-m", "openai/test-model", "hi", code=74)
    assert ended.json["error"]["kind"] == "store"
    assert "No space left" in ended.err
    assert provider.requests == []
    assert check(clew.session_file("s")) == []
    (small_disk / "fill").unlink()
    clew("run", "-q", "-s", "s", "-m", model, "hi")
    assert [line["status"] for line in clew.stored("s")] == ["COMPLETED"] * (1 + lived_in)


def test_a_disk_that_becomes_full_during_the_answer_loses_nothing_of_it(
    clew: Clew, small_disk: Path, provider: Provider, model: str
) -> None:
    gate = threading.Event()
    provider.answer(LONG, gate=gate)
    clew("run", "-q", "-s", "s", "-m", model, "hi")
    process = clew.start("run", "-s", "s", "--run-id", "it", "-m", "openai/test-model", "hi")
    eventually(lambda: any(b'"text"' in one.read_bytes() for one in small_disk.rglob("*.part")))
    filler = fill(small_disk)
    gate.set()
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out.decode()) == (74, LONG + "\n")
    assert b"No space left" in err
    assert check(clew.session_file("s")) == []
    assert len(clew.stored("s")) == 1
    filler.unlink()
    clew("run", "-q", "-s", "s", "-m", model, "hi")
    statuses = [line["status"] for line in clew.stored("s")]
    assert statuses == ["COMPLETED", "INTERRUPTED", "COMPLETED"]
    came_back = clew.stored("s")[1]
    assert came_back["run_id"] == "it"
    assert came_back["content"]
    assert LONG.startswith(came_back["content"])
    assert check(clew.session_file("s"), {"it"}) == []


def test_wherever_the_disk_is_full_exit_code_and_file_agree(
    clew: Clew, small_disk: Path, figure: Figure
) -> None:
    clew.env["CLEW_MODEL"] = clew.recording(("hi", LONG))
    ends = []
    for free in range(0, 400_000, 25_000):
        clew("run", "-q", "-s", "s", "--no-stream", "hi")
        filler = fill(small_disk, free)
        arguments = ("run", "-q", "-s", "s", "--run-id", "it", "--no-stream", "hi")
        ended = clew(*arguments, code=None)
        stored = [line["run_id"] for line in clew.stored("s")]
        assert check(clew.session_file("s")) == []
        assert (ended.code == 0) == ("it" in stored)
        assert ended.code in (0, 74)
        assert ended.out in ("", LONG + "\n")
        filler.unlink()
        assert clew(*arguments).out == LONG + "\n"
        came_back = clew.stored("s")[1]
        if ended.out:
            assert came_back["run_id"] == "it"
            assert LONG.startswith(came_back["content"])
        assert check(clew.session_file("s"), {"it"} if ended.out else ()) == []
        assert not list(small_disk.rglob("*.part"))
        ends.append((ended.code, bool(ended.out)))
        shutil.rmtree(clew.home)
    assert {(74, False), (74, True), (0, True)} == set(ends)
    figure("really full disk", f"{len(ends)} fill levels, exit code and file agree at all")


# Files that may not grow

ANSWER = "x" * 3000


def limited(clew: Clew, size: int, *arguments: str) -> Result:
    """Run while no file may become longer than this."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    process = clew.start(*arguments, preexec_fn=limit)
    out, err = process.communicate(timeout=200)
    return Result(process.returncode, out.decode(), err.decode())


@pytest.fixture
def session(clew: Clew) -> Path:
    """A session that is longer than any record in flight."""
    clew.env["CLEW_MODEL"] = clew.recording(("hi", ANSWER))
    for _ in range(3):
        clew("run", "-q", "-s", "s", "hi")
    return clew.session_file("s")


def test_a_line_that_may_not_become_so_long_is_taken_back(clew: Clew, session: Path) -> None:
    before = session.read_bytes()
    runs = []
    for more in (0, 1, 10, 100, 1000, 3000, 5000):
        run = f"it-{more}"
        ended = limited(clew, len(before) + more, "run", "-s", "s", "--run-id", run, "hi")
        assert (ended.code, ended.out) == (74, ANSWER + "\n")
        assert "File too large" in ended.err
        assert session.read_bytes() == before
        for record in clew.home.rglob("*.part"):  # or the next run would recover it first
            record.rename(record.with_suffix(f".{run}"))
        runs.append(run)
    for record in list(clew.home.rglob(".inflight/*.it-*")):
        record.rename(record.with_suffix(".part"))
    clew("run", "-q", "-s", "s", "hi")
    came_back = {line["run_id"]: line for line in clew.stored("s")[3:-1]}
    assert set(came_back) == set(runs)
    assert {line["content"] for line in came_back.values()} == {ANSWER}
    assert check(session, runs) == []


def test_a_run_that_may_not_even_be_recorded_does_not_begin(clew: Clew, session: Path) -> None:
    before = session.read_bytes()
    for size in (0, 1, 500):
        ended = limited(clew, size, "run", "-s", "s", "hi")
        assert (ended.code, ended.out) == (74, "")
    assert session.read_bytes() == before
    assert not list(clew.home.rglob("*.part"))


# Teeth


def test_without_roll_back_the_suite_fails(clew: Clew, session: Path) -> None:
    without(clew, "roll-back")
    size = session.stat().st_size
    assert limited(clew, size + 100, "run", "-s", "s", "hi").code == 74
    assert check(session) == ["100 bytes after the last newline"]
