"""Files that nobody wrote so: whatever they hold, an error of ours is the worst that comes."""

import contextlib
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.cli.main import main
from clew.core.errors import ClewError
from clew.core.store import Waiting
from clew.stores import JsonlStore
from clew.stores.locks import read_holder
from clew.stores.verify import verify
from tests.conftest import Clew, jq
from tests.stores.made import add_run, intent, raw_session

AT_ONCE = Waiting(0)
ROUNDS = 300
SEED = 20_261_122
NEST = b'{"a":' * 500 + b"1" + b"}" * 500
ARRAYS = b"[" * 60_000


class World:
    """A home in which everything has happened: a session, a name, a claim, a dead run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.store = JsonlStore(str(self.home), "a terminal")
        log = self.store.session("s", "default")
        with log.turn("r1", AT_ONCE):
            add_run(log, "r1", patch={"n": 1, "text": "naïve \u2028 \N{GRINNING FACE}"})
        add_run(log, "r2")
        self.store.rename("s", "default", "trip")
        with self.store.claim("job-1", "s", "default", AT_ONCE):
            pass
        flight = log.begin(intent(log, "dead"))
        flight.note({"open": {"input_tokens": 3, "duration": 0.0}})
        flight.note({"text": "as far as"})
        flight.stranded()
        self.whole = {path: path.read_bytes() for path in self.home.rglob("*") if path.is_file()}

    def restore(self) -> None:
        """Have every file as it was, and no other."""
        for path in self.home.rglob("*"):
            if path.is_file() and path not in self.whole:
                path.unlink()
        for path, raw in self.whole.items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(raw)
            path.chmod(0o600)

    def one(self, ending: str) -> Path:
        """The file whose path ends so."""
        [path] = [path for path in self.whole if str(path).endswith(ending)]
        return path

    def use(self) -> None:
        """Read and write everything; what is not an error of ours passes."""
        for attempt in self.attempts():
            with contextlib.suppress(ClewError):
                attempt()

    def attempts(self) -> Iterator[Callable[[], object]]:
        store = JsonlStore(str(self.home), "a terminal")
        log = store.session("s", "default")
        yield log.exists
        yield lambda: list(log.lines())
        yield lambda: list(log.newest())
        yield log.last
        yield log.in_flight
        yield lambda: list(verify(store.session("s", "default")))
        yield lambda: store.last_used("default")
        yield lambda: store.named("trip", "default")
        yield lambda: store.name_of("s", "default")
        yield lambda: list(store.sessions("default"))
        yield lambda: store.claim("job-1", "s", "default", AT_ONCE).__enter__()
        yield lambda: [read_holder(str(path)) for path in self.home.rglob("*.lock")]
        yield log.recover
        yield lambda: add_run(log, "new")
        yield lambda: store.rename("s", "default", "other")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)  # nothing here is about the disk
    return World(tmp_path)


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """The same bytes with a few changes: flipped, inserted, deleted, doubled, cut."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        place = chance.randint(0, len(data))
        end = min(len(data), place + chance.choice((1, 1, 4, 40)))
        match chance.randint(0, 6):
            case 0 if place < len(data):
                data[place] ^= 1 << chance.randint(0, 7)
            case 1:
                data[place:place] = chance.choice(SPLICES)
            case 2:
                del data[place:end]
            case 3:
                data[place:place] = data[chance.randint(0, len(data)) :][:60]
            case 4 if chance.random() < 0.2:
                del data[place:]
            case _:
                data[place:end] = chance.choice(SPLICES)
    return bytes(data)


SPLICES = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 400,
    b"9" * 5000,
    b"1.7e308",
    b'"',
    b"{}",
    b"[]",
    b'"\\ud800"',
    b'"../../x"',
    b"}\n{",
    NEST,
    ARRAYS,
)

KINDS = (
    "s.jsonl",
    ".part",
    "s.turn.lock",
    "s.append.lock",
    ".cache/last",
    ".cache/names/",
    ".runs/",
)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_in_a_file_only_errors_of_ours_come_out(world: World, kind: str) -> None:
    targets = [path for path in world.whole if kind in str(path)]
    assert targets
    chance = random.Random(f"{SEED} {kind}")
    for number in range(ROUNDS):
        world.restore()
        for path in targets:
            path.write_bytes(mutated(world.whole[path], chance))
        try:
            world.use()
        except Exception as error:
            raise AssertionError(f"round {number} of {kind}") from error


def commands(recording: Path) -> list[list[str]]:
    model = ["-m", f"replay:{recording}"]
    return [
        ["history", "-s", "s"],
        ["history", "-s", "s", "--json"],
        ["history", "-s", "@trip"],
        ["state"],
        ["state", "-s", "s", "update", ".n += 1"],
        ["sessions", "list"],
        ["sessions", "verify", "--all"],
        ["metrics", "-s", "s", "--by", "model"],
        ["continue", "-s", "s", *model, "--dry-run", "hi"],
        ["continue", "-s", "s", *model, "--resume"],
        ["continue", "-s", "s", "-m", "replay:s", "hi"],
        ["continue", "-s", "s", *model, "hi"],
        ["run", "-s", "s", *model, "--run-id", "job-1", "hi"],
    ]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.jsonl"
    path.write_text('{"input": "hi", "content": "hello"}\n')
    return path


def called(arguments: list[str]) -> tuple[int, str]:
    """Call the command in this process; return its exit code and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, err.getvalue()


@pytest.mark.slow
def test_no_command_meets_a_bug_whatever_is_in_the_files(
    world: World, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_HOME", str(world.home))
    monkeypatch.setenv("HOME", str(world.folder))
    chance = random.Random(SEED)
    for number in range(60):
        world.restore()
        for path in chance.sample(sorted(world.whole), 3):
            path.write_bytes(mutated(world.whole[path], chance))
        for arguments in commands(recording):
            code, err = called(arguments)
            assert code in (0, 1, 2, 3, 7, 65, 74), (number, arguments, code, err)


@pytest.mark.slow
def test_the_installed_command_meets_no_bug_either(clew: Clew, recording: Path) -> None:
    world = World(clew.cwd.parent / "fuzz")
    chance = random.Random(SEED + 1)
    for _ in range(6):
        world.restore()
        for path in chance.sample(sorted(world.whole), 4):
            path.write_bytes(mutated(world.whole[path], chance))
        for arguments in chance.sample(commands(recording), 5):
            result = clew(*arguments, env={"CLEW_HOME": str(world.home)}, code=None)
            assert result.code in (0, 1, 2, 3, 7, 65, 74), (arguments, result)


# Numbers and depths


def odd(**changes: Any) -> bytes:
    """A session of three runs, the last of which is changed so."""
    *lines, last = raw_session(3)
    line = json.loads(last)
    for key, value in changes.items():
        line[key] = line[key] | value if isinstance(value, dict) else value
    return b"".join(lines) + json.dumps(line).encode() + b"\n"


ODD = {
    "a sum that cannot be written": {"session_metrics": {"input_tokens": 10**4299 * 9}},
    "a cost that is no float": {"session_metrics": {"cost": 10**400}},
    "a duration that is no float": {"session_metrics": {"duration": 10**400}},
    "a sum that is infinite": {"session_metrics": {"duration": 1.7e308}},
    "a cost of a run that is no float": {"metrics": {"cost": 10**400}},
    "a number that cannot be followed": {"seq": 10**4299 * 9},
    "no time": {"created_at": "", "started_at": ""},
    "half characters": {"content": "\ud800", "input": "\udfff", "model": "\ud800"},
    "half characters in the state": {"session_state": {"\ud800": "\udfff"}},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_odd_values_in_a_last_line_are_no_bug(
    world: World, recording: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setenv("CLEW_HOME", str(world.home))
    monkeypatch.setenv("HOME", str(world.folder))
    for arguments in commands(recording):
        world.restore()
        world.one("s.jsonl").write_bytes(odd(**changes))
        code, err = called(arguments)
        assert code in (0, 1, 2, 3, 7, 65), (arguments, code, err)


@pytest.mark.parametrize("levels", [90, 150, 195, 198, 199, 250, 600, 900, 970, 1000, 100_000])
def test_any_depth_in_a_last_line_is_no_bug(
    world: World, recording: Path, monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    monkeypatch.setenv("CLEW_HOME", str(world.home))
    monkeypatch.setenv("HOME", str(world.folder))
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    raw = b"".join(raw_session(3))
    for place in (b'"session_state":{"n":3}', b'"state_patch":{"n":3}', b'"options":{}'):
        key = place.partition(b":")[0]
        for arguments in commands(recording):
            world.restore()
            world.one("s.jsonl").write_bytes(raw.replace(place, key + b":" + deep))
            code, err = called(arguments)
            assert code in (0, 1, 2, 3, 7, 65), (key, arguments, code, err)


RECORDS = {
    "after": (b'"after":3', b'"after":1e999'),
    "after that is huge": (b'"after":3', b'"after":' + b"9" * 4000),
    "deep patch": (b'"state_patch":null', b'"state_patch":' + NEST),
    "duration": (b'"duration":0.0', b'"duration":' + b"9" * 400),
    "text": (b'"as far as"', NEST),
    "call": (b'{"open":', b'{"call":'),
    "half text": (b"as far as", b"as \\ud800 far as"),
    "other session": (b'"session_id":"s"', b'"session_id":"../../x"'),
    "run that is stored": (b'"run_id":"dead"', b'"run_id":"r1"'),
}


@pytest.mark.parametrize(("old", "new"), RECORDS.values(), ids=RECORDS)
def test_a_record_with_an_odd_part_is_recovered_or_moved_aside_and_never_in_the_way(
    world: World, old: bytes, new: bytes
) -> None:
    record = world.one(".part")
    raw = record.read_bytes()
    assert old in raw
    record.write_bytes(raw.replace(old, new))
    log = world.store.session("s", "default")
    log.in_flight()
    log.recover()
    assert not record.exists()
    assert add_run(log, "new")["seq"] in (4, 5)
    jq(".", Path(log.location).read_text())


# Pointers, claims, names, locks


@pytest.mark.parametrize("raw", [ARRAYS, b"[", b"{}", b"null", b"\xff", b"", b'{"run_id":"job-1"}'])
def test_a_claim_that_cannot_be_read_stops_the_call_before_it_is_paid_twice(
    world: World, raw: bytes
) -> None:
    [claim] = [path for path in world.whole if path.parent.name == ".runs" and not path.suffix]
    claim.write_bytes(raw)
    with (
        pytest.raises(ClewError, match="says where run 'job-1' belongs"),
        world.store.claim("job-1", "s", "default", AT_ONCE),
    ):
        pass


@pytest.mark.parametrize("raw", [ARRAYS, b"{}", b"null", b"\xff", b"", b'{"key":1,"value":2}'])
def test_a_damaged_index_of_names_is_not_believed(world: World, raw: bytes) -> None:
    for path in (path for path in world.whole if path.parent.name == "names"):
        path.write_bytes(raw)
    assert world.store.named("trip", "default") == "s"
    assert world.store.name_of("s", "default") == "trip"
    with pytest.raises(ClewError, match="taken"):
        world.store.rename("t", "default", "trip")


def test_what_an_index_says_never_becomes_a_path(world: World, clew: Clew) -> None:
    names = world.one("names/complete").parent
    store = JsonlStore(str(world.home), "a terminal")
    for path in names.iterdir():
        if path.name.startswith("name-"):
            path.write_text('{"key": "trip", "value": "../../x"}')
    assert store.named("trip", "default") == "s"
    (world.home / "x.jsonl").write_bytes(raw_session(1)[0])
    for session in ("../../x", "../x", "/etc/passwd"):
        for pointer in (world.one(".cache/last"), *names.parent.glob("last-*")):
            pointer.write_text(session)
        result = clew("history", env={"CLEW_HOME": str(world.home)})
        assert "session s " in result.err


@pytest.mark.parametrize("raw", [ARRAYS[:4096], b"null", b"\xff", b'{"pid": 1e999}', b"[]"])
def test_a_lock_that_says_nonsense_of_its_holder_is_still_a_lock(world: World, raw: bytes) -> None:
    log = world.store.session("s", "default")
    with log.turn("holder", AT_ONCE):
        world.one("s.turn.lock").write_bytes(raw)
        with (
            pytest.raises(ClewError, match="another process has it"),
            world.store.session("s", "default").turn("other", AT_ONCE),
        ):
            pass


def test_a_holder_is_known_whatever_the_lock_said_before(world: World) -> None:
    lock = world.one("s.turn.lock")
    for before in (b"", ARRAYS[:4096], b"{}"):
        lock.write_bytes(before)
        with world.store.session("s", "default").turn("holder", AT_ONCE):
            holder = read_holder(str(lock))
            assert (holder.pid, holder.run_id) == (os.getpid(), "holder")
