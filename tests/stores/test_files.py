"""What a crash, a failed write or a stranger leaves beside the sessions does no harm."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.core.errors import DamagedError, StoreError
from clew.core.session import always
from clew.core.store import Waiting
from clew.stores import JsonlStore
from clew.stores.files import replace_file
from tests.stores.made import add_run, intent, run_draft

AT_ONCE = Waiting(0)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
CRASH = """
import os, sys
from clew.stores.files import replace_file
os.getpid = lambda: 7
os.replace = lambda *_: os._exit(9)
replace_file(sys.argv[1], b"new")
"""
"""The process dies after the draft is written; number 7 belongs to another one later."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> JsonlStore:
    """A store with a session `s` of one run."""
    made = JsonlStore(str(home))
    add_run(made.session("s", "default"), "r1")
    return made


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_the_draft_of_a_process_that_died_hinders_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answer.txt"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", CRASH, path], check=False).returncode == 9
    [draft] = files(tmp_path) - {path}
    draft.chmod(0o400)
    before = draft.stat().st_ino, draft.read_bytes()
    monkeypatch.setattr(os, "getpid", lambda: 7)
    replace_file(str(path), b"newer")
    assert path.read_bytes() == b"newer"
    assert (draft.stat().st_ino, draft.read_bytes()) == before


DIES_BEGINNING = """
import os, sys
from clew.stores import JsonlStore
from tests.stores.made import intent
log = JsonlStore(sys.argv[1]).session("s", "default")
line = intent(log, "r2")
os.replace = lambda *_: os._exit(9)
log.begin(line)
"""


def test_the_record_of_a_run_that_died_beginning_hinders_nobody(
    home: Path, store: JsonlStore
) -> None:
    before = files(home)
    command = [sys.executable, "-c", DIES_BEGINNING, str(home)]
    assert subprocess.run(command, check=False).returncode == 9
    assert len(files(home) - before) == 1
    log = store.session("s", "default")
    flight = log.begin(intent(log, "r2"))
    assert [run.running for run in log.in_flight()] == [True]
    flight.landed()
    assert log.in_flight() == []


def no_room(_fd: int, _data: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def broken(*_: Any) -> None:
    raise OSError(errno.EIO, "Input/output error")


FAULTS = [("write", no_room), ("fsync", broken), ("replace", broken)]


@pytest.fixture(params=FAULTS, ids=["write", "fsync", "replace"])
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have one step of writing a file fail from now on."""
    name, failure = request.param
    return lambda: monkeypatch.setattr(os, name, failure)


def test_a_file_that_could_not_be_replaced_is_as_it_was_and_has_no_draft(
    tmp_path: Path, failing: Callable[[], None]
) -> None:
    path = tmp_path / "answer.txt"
    path.write_text("old")
    failing()
    with pytest.raises(OSError, match=r"No space|Input/output"):
        replace_file(str(path), b"new", durable=True)
    assert files(tmp_path) == {path}
    assert path.read_text() == "old"


def test_a_run_that_could_not_be_recorded_leaves_no_draft(
    home: Path, store: JsonlStore, failing: Callable[[], None]
) -> None:
    log = store.session("s", "default")
    line = intent(log, "r2")
    before = files(home)
    failing()
    with pytest.raises(StoreError):
        log.begin(line)
    assert files(home) == before


def test_a_run_id_that_could_not_be_claimed_leaves_no_draft(
    home: Path, store: JsonlStore, failing: Callable[[], None]
) -> None:
    before = files(home)
    failing()
    with pytest.raises(StoreError), store.claim("r", "s", "default", AT_ONCE):
        pytest.fail("it was claimed")
    assert files(home) == before


@pytest.mark.parametrize(
    "claim", [b"", b"{", b"[]", b"{}", b'{"run_id":"other"}', b"\xff"], ids=str
)
def test_a_claim_that_cannot_be_read_is_damage_and_never_none(
    home: Path, store: JsonlStore, claim: bytes
) -> None:
    with store.claim("r", "s", "default", AT_ONCE):
        pass
    [path] = files(home / "users" / "default" / ".runs")
    path.write_bytes(claim)
    with pytest.raises(DamagedError), store.claim("r", "s", "default", AT_ONCE):
        pytest.fail("it was claimed")
    assert path.read_bytes() == claim


def parents(home: Path) -> dict[str, Path]:
    return {"home": home, "users": home / "users", "user": home / "users" / "default"}


def make_foreign(path: Path) -> None:
    os.chown(path, 12345, -1)


def make_open(path: Path) -> None:
    path.chmod(0o777)


@pytest.mark.parametrize("name", ["home", "users", "user"])
@pytest.mark.parametrize("spoil", [pytest.param(make_foreign, marks=AS_ROOT), make_open])
def test_nothing_is_written_below_a_folder_that_others_can_change(
    home: Path, store: JsonlStore, spoil: Callable[[Path], None], name: str
) -> None:
    log = store.session("s", "default")
    line = intent(log, "r2")
    before = {path: path.read_bytes() for path in files(home)}
    spoil(parents(home)[name])
    for write in (
        lambda: log.append(always(run_draft("r2"))),
        lambda: log.begin(line),
        lambda: log.turn("r2", AT_ONCE),
        lambda: store.claim("r", "s", "default", AT_ONCE).__enter__(),
        lambda: store.rename("s", "default", "trip"),
    ):
        with pytest.raises(StoreError, match=r"belongs to another|others may write"):
            write()
    assert {path: path.read_bytes() for path in files(home)} == before


LONG_TEAR = b'{"torn' + b"x" * 300_000


@pytest.fixture
def torn(store: JsonlStore) -> JsonlStore:
    """A store whose session `s` has two lines and a long torn end."""
    log = store.session("s", "default")
    add_run(log, "r2")
    with open(log.location, "ab") as file:
        file.write(LONG_TEAR)
    return store


def test_a_reader_from_the_start_does_not_mind_that_a_torn_end_is_cut_off(
    torn: JsonlStore,
) -> None:
    log = torn.session("s", "default")
    reader = log.lines()
    numbers = [next(reader)["seq"]]
    add_run(torn.session("s", "default"), "r3")
    numbers += [line["seq"] for line in reader]
    assert numbers == [1, 2]
    assert log.problems == []


@pytest.mark.parametrize("read_before", range(4))
def test_a_reader_from_the_end_does_not_mind_that_a_torn_end_is_cut_off(
    torn: JsonlStore, monkeypatch: pytest.MonkeyPatch, read_before: int
) -> None:
    pread = os.pread
    done: list[int] = []

    def cut_off_meanwhile(fd: int, length: int, offset: int) -> bytes:
        if len(done) == read_before:
            monkeypatch.undo()
            add_run(torn.session("s", "default"), "r3")
        done.append(offset)
        return pread(fd, length, offset)

    log = torn.session("s", "default")
    monkeypatch.setattr(os, "pread", cut_off_meanwhile)
    numbers = [line["seq"] for line in log.newest()]
    assert numbers in ([2, 1], [3, 2, 1])
    assert log.problems == []
    assert len(done) > read_before
