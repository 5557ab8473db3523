"""A session file that ends anywhere: the next run works, and no byte is gone."""

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clew.cli.main import main
from tests.conftest import Clew
from tests.torture.conftest import Figure

STEP = 64
OF_THE_COMMAND = 97

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def session(clew: Clew) -> Path:
    """A session of runs that succeeded and failed, and of changes of its state."""
    model = clew.recording(("hi", "naïve \u2028 \N{GRINNING FACE}"), ("more", "and more"))
    clew("run", "-s", "s", "-m", model, "--state", '{"n": 1}', "hi")
    clew("run", "-s", "s", "-m", model, "nobody was asked this", code=3)
    clew("state", "-s", "s", "set", "city=Lyon")
    clew("continue", "-s", "s", "more")
    clew("continue", "-s", "s", "-m", model, "hi")
    return clew.session_file("s")


@pytest.fixture
def run(clew: Clew, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in this process: thousands a minute, on a disk that need not confirm."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    for name, value in clew.env.items():
        monkeypatch.setenv(name, value)
    for name in ("CLEW_SESSION", "CLEW_USER", "CLEW_STORE", "CLEW_MODEL", "CLEW_HOME"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        return code, err.getvalue()

    return call


def check(path: Path, whole: bytes, length: int, err: str) -> None:
    """Check what a run left of the first `length` bytes of a session."""
    good = whole[: whole.rfind(b"\n", 0, length) + 1]
    tail = whole[len(good) : length]
    complete = whole[length : length + 1] == b"\n"
    kept = good + tail + b"\n" if complete and tail else good
    found = path.read_bytes()
    assert found.startswith(kept)
    assert [json.loads(line)["seq"] for line in found.splitlines()] == [
        *range(1, kept.count(b"\n") + 2)
    ]
    torn = path.with_suffix(".torn")
    if tail and not complete:
        assert torn.read_bytes() == tail + b"\n"
        assert f"{path}:{len(good.splitlines()) + 1}: " in err
        assert f"a torn end of {len(tail)} bytes, moved to {torn}" in err
    else:
        assert not torn.exists()
        assert "torn" not in err


def lengths(whole: bytes) -> list[int]:
    """Every byte of the last two lines, and now and then one of the others."""
    last_two = whole.rfind(b"\n", 0, whole.rfind(b"\n", 0, -1)) + 1
    return [*range(0, last_two, STEP), *range(last_two, len(whole) + 1)]


def test_a_session_cut_off_at_any_byte_is_gone_on_with(
    clew: Clew, session: Path, run: Run, figure: Figure
) -> None:
    whole = session.read_bytes()
    model = clew.recording(("hi", "hello"))
    for length in lengths(whole):
        session.with_suffix(".torn").unlink(missing_ok=True)
        session.write_bytes(whole[:length])
        code, err = run("run", "-s", "s", "-m", model, "hi")
        assert code == 0, (length, err)
        check(session, whole, length, err)
        assert run("sessions", "verify", "-s", "s")[0] == 0, length
    figure("truncation: cut-off session files gone on with", len(lengths(whole)))


def test_the_installed_command_goes_on_with_it_too(clew: Clew, session: Path) -> None:
    whole = session.read_bytes()
    model = clew.recording(("hi", "hello"))
    for length in range(len(whole.splitlines()[0]) + 1, len(whole) + 1, OF_THE_COMMAND):
        session.with_suffix(".torn").unlink(missing_ok=True)
        session.write_bytes(whole[:length])
        result = clew("continue", "-s", "s", "-m", model, "hi")
        assert result.out == "hello\n"
        check(session, whole, length, result.err)


def test_readers_of_a_session_cut_off_at_any_byte_change_nothing(
    clew: Clew, session: Path, run: Run
) -> None:
    whole = session.read_bytes()
    first = whole.index(b"\n") + 1
    for length in [each for each in lengths(whole) if each >= first][::7]:
        session.write_bytes(whole[:length])
        for arguments in (("history",), ("state",), ("sessions", "show")):
            code, err = run(*arguments, "-s", "s")
            assert (code, err) == (0, ""), (length, arguments)
        assert session.read_bytes() == whole[:length]


def test_a_record_of_a_dead_run_cut_off_at_any_byte_is_in_nobodys_way(
    clew: Clew, session: Path, run: Run, figure: Figure
) -> None:
    clew("run", "-s", "s", "-m", clew.recording(("hi", "hello")), "hi")
    line = clew.stored("s")[-1]
    intent = line | {"run_id": "dead", "status": "INTERRUPTED", "seq": None, "content": ""}
    notes: list[object] = [{"intent": intent, "after": line["seq"]}]
    notes += [{"open": line["metrics"]["details"][0]}, {"text": "as far "}, {"text": "as it came"}]
    raw = b"".join(json.dumps(note).encode() + b"\n" for note in notes)
    folder = session.parent / ".inflight"
    record = folder / "s~dead.part"
    whole, begun = session.read_bytes(), raw.index(b"\n") + 1
    points = [*range(0, begun, 16), *range(begun, len(raw) + 1)]
    model = clew.recording(("hi", "hello"))
    for length in points:
        session.write_bytes(whole)
        record.write_bytes(raw[:length])
        code, err = run("run", "-s", "s", "-m", model, "hi")
        assert code == 0, (length, err)
        assert not record.exists()
        added = clew.stored("s")[len(whole.splitlines()) :]
        if length < begun:
            assert [each["status"] for each in added] == ["COMPLETED"]
            assert record.with_suffix(".part.damaged").read_bytes() == raw[:length]
            assert "moved aside" in err
        else:
            assert [each["status"] for each in added] == ["INTERRUPTED", "COMPLETED"]
            assert "as far as it came".startswith(added[0]["content"])
    figure("truncation: cut-off records of dead runs survived", len(points))
