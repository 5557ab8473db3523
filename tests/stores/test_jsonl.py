"""Sessions as files: their form, their permissions, and every kind of damage and fault."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from clew.core.errors import ClewError, DamagedError, StoreError
from clew.core.flight import member_of
from clew.core.lines import RunLine, decode, encode
from clew.core.session import Draft, Tip, always
from clew.core.store import Waiting
from clew.stores import JsonlStore
from clew.stores.session_file import SessionFile
from clew.stores.tail import backwards
from tests.conftest import Clew
from tests.stores.made import (
    add_run,
    call,
    intent,
    job_draft,
    job_intent,
    raw_session,
    run_draft,
    sealed,
    state_line,
)

AT_ONCE = Waiting(0)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


class Session:
    """A session file of three runs, and the store that reads it."""

    def __init__(self, root: Path) -> None:
        self.store = JsonlStore(str(root))
        self.log = self.store.session("s", "default")
        self.path = Path(self.log.location)
        self.folder = self.path.parent
        self.lines = raw_session(3)

    def holds(self, *raw: bytes) -> "Session":
        """Have the file hold just this."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.write_bytes(b"".join(raw))
        return self

    def numbers(self) -> list[int | None]:
        """The numbers of the lines, read anew; both directions agree."""
        log = self.store.session("s", "default")
        numbers = [line["seq"] for line in log.lines()]
        assert [line["seq"] for line in log.newest()] == numbers[::-1]
        return numbers


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(tmp_path / "home")
    return made.holds(*made.lines)


def modes(root: Path) -> dict[str, int]:
    """The permissions of all that is below a folder, by the kind of thing it is."""
    found = {}
    for path in root.rglob("*"):
        found[str(path.relative_to(root))] = stat.S_IMODE(path.lstat().st_mode)
    return found


# The form of the file


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=oct)
def lived_in(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A home in which everything has happened once."""
    old = os.umask(request.param)
    home = tmp_path / "home"
    log = JsonlStore(str(home), "a terminal").session("s", "default")
    with log.turn("r1", AT_ONCE):
        add_run(log, "r1", patch={"text": "naïve 行 \u2028 \x7f"})
    log.begin(intent(log, "r2"))
    with open(log.location, "ab") as file:
        file.write(b'{"torn')
    store = JsonlStore(str(home), "a terminal")
    store.rename("s", "default", "trip")
    with store.claim("run", "s", "default", AT_ONCE):
        pass
    yield home
    os.umask(old)


def test_folders_are_0700_and_files_0600_whatever_the_umask(lived_in: Path) -> None:
    for name, mode in modes(lived_in).items():
        is_folder = (lived_in / name).is_dir()
        assert (name, oct(mode)) == (name, oct(0o700 if is_folder else 0o600))
    assert stat.S_IMODE(lived_in.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_closed_to_them_by_the_next_write(session: Session) -> None:
    session.path.chmod(0o644)
    add_run(session.log, "new")
    assert stat.S_IMODE(session.path.stat().st_mode) == 0o600


def test_nothing_else_in_the_folder_ends_like_a_session(lived_in: Path) -> None:
    found = [path.relative_to(lived_in).as_posix() for path in lived_in.rglob("*.jsonl")]
    assert found == ["users/default/s.jsonl"]


def test_the_file_is_ascii_with_a_newline_after_each_line(lived_in: Path) -> None:
    raw = (lived_in / "users/default/s.jsonl").read_bytes()
    assert raw.isascii()
    assert raw.endswith(b"\n")
    assert b"\r" not in raw
    assert [json.loads(line)["seq"] for line in raw.split(b"\n")[:-1]] == [1, 2]


def test_a_user_id_of_any_kind_stays_inside_the_store(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for user in ("../../x", "/etc", "..", ".", "a/b", "A", "ä" * 200, "~", "con%41"):
        add_run(JsonlStore(str(home)).session("s", user), "r1")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert len(list((home / "users").iterdir())) == 9


# A torn end


def test_a_line_torn_at_any_byte_is_moved_aside_by_the_next_write(session: Session) -> None:
    first, second, last = session.lines
    aside = session.path.with_suffix(".torn")
    stored = b""
    for length in range(1, len(last) - 1):
        session.holds(first, second, last[:length])
        aside.unlink(missing_ok=True)
        assert session.numbers() == [1, 2]
        stored = encode(add_run(session.store.session("s", "default"), "new"))
        assert session.path.read_bytes() == first + second + stored
        assert aside.read_bytes() == last[:length] + b"\n"
    assert decode(stored)["seq"] == 3


def test_a_whole_line_that_only_lacks_its_newline_gets_it(session: Session) -> None:
    whole = b"".join(session.lines)
    session.holds(whole[:-1])
    assert add_run(session.log, "new")["seq"] == 4
    assert session.path.read_bytes().startswith(whole)
    assert session.numbers() == [1, 2, 3, 4]
    assert not session.path.with_suffix(".torn").exists()


def test_the_bytes_of_a_torn_end_are_kept_and_the_move_is_told(session: Session) -> None:
    session.holds(*session.lines, b'{"v":1,"ty')
    add_run(session.log, "new")
    [problem] = session.log.problems
    assert (problem.line, "10 bytes" in problem.reason) == (4, True)
    assert session.path.with_suffix(".torn").read_bytes() == b'{"v":1,"ty\n'


def test_torn_ends_are_all_kept(session: Session) -> None:
    for torn in (b"one", b"two"):
        session.holds(*session.lines, torn)
        add_run(session.store.session("s", "default"), "new")
    assert session.path.with_suffix(".torn").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff\xfe", b"{}", b"null", b" "])
def test_an_end_that_is_no_line_is_moved_aside(session: Session, tail: bytes) -> None:
    session.holds(*session.lines, tail)
    assert session.numbers() == [1, 2, 3]
    assert add_run(session.log, "new")["seq"] == 4
    assert session.path.with_suffix(".torn").read_bytes() == tail + b"\n"


def test_a_file_of_nothing_but_a_torn_line_is_an_empty_session(session: Session) -> None:
    session.holds(session.lines[0][:40])
    assert session.numbers() == []
    assert add_run(session.log, "new")["seq"] == 1
    assert session.numbers() == [1]


def test_reading_heals_nothing(session: Session) -> None:
    session.holds(*session.lines, b'{"torn')
    before = session.path.read_bytes()
    assert session.numbers() == [1, 2, 3]
    assert session.log.last() is not None
    assert session.path.read_bytes() == before
    assert [path.name for path in session.folder.iterdir()] == ["s.jsonl"]


# Bad lines

NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HUGE = b'{"v":' + b"9" * 5000 + b"}"
BAD = {
    "garbage": b"garbage",
    "empty": b"",
    "not UTF-8": b'{"v":1,"x":"\xff"}',
    "NUL": b"\0\0\0",
    "array": b"[]",
    "nested": NESTED,
    "huge": HUGE,
    "NaN": b'{"v":NaN}',
    "incomplete": b'{"v":1,"type":"run"}',
    "two": b"{}{}",
}


def changed(raw: bytes, **fields: Any) -> bytes:
    """A line with other values."""
    return json.dumps(json.loads(raw) | fields).encode() + b"\n"


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_in_the_middle_is_skipped_with_its_number(session: Session, bad: bytes) -> None:
    first, second, third = session.lines
    session.holds(first, bad + b"\n", second, third)
    log = session.log
    assert [line["seq"] for line in log.lines()] == [1, 2, 3]
    assert [line["seq"] for line in log.newest()] == [3, 2, 1]
    assert [problem.line for problem in log.problems] == [2]
    assert str(session.path) in str(log.problems[0])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_in_the_middle_is_never_rewritten(session: Session, bad: bytes) -> None:
    session.holds(session.lines[0], bad + b"\n", *session.lines[1:])
    before = session.path.read_bytes()
    assert add_run(session.log, "new")["seq"] == 4
    assert session.path.read_bytes().startswith(before)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_nothing_is_written_after_a_last_line_that_cannot_be_read(
    session: Session, bad: bytes
) -> None:
    session.holds(*session.lines, bad + b"\n")
    before = session.path.read_bytes()
    for attempt in (session.log.last, lambda: add_run(session.log, "new")):
        with pytest.raises(DamagedError, match=r"s\.jsonl:4"):
            attempt()
    assert session.path.read_bytes() == before


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_lines_before_a_last_one_that_cannot_be_read_are_shown(
    session: Session, bad: bytes
) -> None:
    session.holds(*session.lines, bad + b"\n")
    assert session.numbers() == [1, 2, 3]


def test_a_line_of_a_later_version_is_read_and_nothing_written_after_it(session: Session) -> None:
    later = changed(session.lines[2], v=2, unknown={"a": 1})
    session.holds(*session.lines[:2], later)
    assert session.numbers() == [1, 2, 3]
    with pytest.raises(DamagedError, match="later clew"):
        add_run(session.log, "new")
    assert session.path.read_bytes().endswith(later)


def test_unknown_keys_and_types_are_kept_and_no_hindrance(session: Session) -> None:
    session.holds(*session.lines[:2], changed(session.lines[2], type="note", extra=[1]))
    assert session.numbers() == [1, 2, 3]
    assert add_run(session.log, "new")["seq"] == 4


def test_lines_that_end_in_cr_lf_are_read(session: Session) -> None:
    session.holds(*(line.replace(b"\n", b"\r\n") for line in session.lines))
    assert session.numbers() == [1, 2, 3]
    assert add_run(session.log, "new")["seq"] == 4


def test_a_byte_order_mark_costs_its_own_line_only(session: Session) -> None:
    session.holds(b"\xef\xbb\xbf", *session.lines)
    assert session.numbers() == [2, 3]
    assert add_run(session.log, "new")["seq"] == 4


def test_only_a_newline_ends_a_line(session: Session) -> None:
    line = json.loads(session.lines[2])
    line["content"] = "a\u2028b\u2029c\x85d\x0be"
    session.holds(*session.lines[:2], json.dumps(line, ensure_ascii=False).encode() + b"\n")
    last = session.log.last()
    assert last is not None
    assert last["type"] == "run"
    assert last["content"] == "a\u2028b\u2029c\x85d\x0be"
    assert add_run(session.log, "new")["seq"] == 4


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1e999999999"])
def test_a_number_that_no_line_can_carry_on_is_damage(session: Session, number: bytes) -> None:
    last = session.lines[2].replace(
        b'"session_state":{"n":3}', b'"session_state":{"n":%s}' % number
    )
    session.holds(*session.lines[:2], last)
    with pytest.raises(DamagedError, match=r"s\.jsonl:3"):
        add_run(session.log, "new")
    assert session.numbers() == [1, 2]


def test_integers_of_any_size_that_json_carries_are_kept(session: Session) -> None:
    big = 10**4000
    session.log.append(always(state_line({"big": big})))
    add_run(session.log, "new")
    last = session.log.last()
    assert last is not None
    assert last["session_state"]["big"] == big


def test_a_file_of_another_session_or_user_is_not_taken_for_ones_own(session: Session) -> None:
    for key in ("session_id", "user_id"):
        session.holds(*(changed(line, **{key: "other"}) for line in session.lines))
        before = session.path.read_bytes()
        assert session.numbers() == []
        with pytest.raises(DamagedError, match="another session or user"):
            add_run(session.log, "new")
        assert session.path.read_bytes() == before


def test_a_name_that_no_terminal_can_show_is_no_hindrance(session: Session) -> None:
    name = sealed(Draft("session", {"name": "\ud800"}), Tip(3, {}))
    session.holds(*session.lines, encode(name))
    session.store.rename("t", "default", "trip")
    assert session.store.named("trip", "default") == "t"


# What the command says of damage


def values(line: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a line."""
    yield path
    if isinstance(line, dict | list):
        for key, value in line.items() if isinstance(line, dict) else enumerate(line):
            yield from values(value, (*path, key))


def damaged_at(line: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """A copy of the line with something else at this path."""
    if not path:
        return junk
    copy = line.copy()
    copy[path[0]] = damaged_at(line[path[0]], path[1:], junk)
    return copy


COMMANDS = (
    ("history", "-s", "s"),
    ("history", "-s", "s", "--messages"),
    ("history", "-s", "s", "--tree"),
    ("history", "-s", "s", "--members"),
    ("state", "-s", "s"),
    ("state", "-s", "s", "set", "a=1"),
    ("sessions", "list"),
    ("sessions", "list", "--json"),
    ("metrics", "-s", "s"),
    ("sessions", "show", "s"),
    ("sessions", "summarize", "s", "-m", "replay:RECORDING"),
    ("continue", "-s", "s", "--dry-run", "-m", "replay:RECORDING", "hi"),
    ("continue", "-s", "s", "-m", "replay:RECORDING", "hi"),
    ("continue", "-s", "s", "-m", "replay:RECORDING", "--resume"),
)
ALLOWED = (0, 2, 3, 65)


class InProcess:
    """The command in this process: thousands of calls a minute."""

    def __init__(self, home: Path, recording: Path, patch: pytest.MonkeyPatch) -> None:
        self.recording = str(recording)
        summary = '{"input": "Provide the summary of the conversation.", "content": "short"}'
        recording.write_text(f'{{"input": "hi", "content": "hello"}}\n{summary}\n')
        patch.setenv("CLEW_HOME", str(home))
        patch.setenv("HOME", str(home.parent))
        for name in ("CLEW_SESSION", "CLEW_USER", "CLEW_STORE", "CLEW_MODEL"):
            patch.delenv(name, raising=False)

    def __call__(self, *arguments: str) -> int:
        from clew.cli.main import main

        return main([word.replace("RECORDING", self.recording) for word in arguments])


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(tmp_path / "home", tmp_path / "recording", monkeypatch)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_no_command_ends_in_a_bug_where_the_last_line_is_bad(
    session: Session, command: InProcess, bad: bytes
) -> None:
    for arguments in COMMANDS:
        session.holds(*session.lines, bad + b"\n")
        assert command(*arguments) in ALLOWED, arguments


@pytest.mark.slow
@pytest.mark.parametrize("junk", [None, 5, "x", [1], {"a": 1}], ids=repr)
def test_no_command_ends_in_a_bug_whatever_stands_at_any_place_of_a_line(
    session: Session, command: InProcess, junk: Any
) -> None:
    error = {"kind": "provider", "message": "m", "hint": None, "retryable": True, "exit_code": 69}
    options = {"system": "be brief", "option": {"temperature": 0}, "history": True}
    fields = {"status": "ERROR", "error": error, "options": options, "resumes": "r1"}
    failed = json.loads(changed(session.lines[2], **fields))
    team = failed | {"kind": "team", "members": [member_of(cast(RunLine, failed))]}
    named = json.loads(encode(sealed(Draft("session", {"name": "trip"}))))
    asked = json.loads(encode(sealed(job_draft("j1", "In short.", tokens=5))))
    for line in (failed | {"status": "COMPLETED"}, failed, team, named, asked):
        for path in list(values(line)):
            raw = json.dumps(damaged_at(line, path, junk)).encode() + b"\n"
            for arguments in COMMANDS:
                session.holds(*session.lines[:2], raw)
                assert command(*arguments) in ALLOWED, (path, arguments)


def test_a_bad_line_is_told_on_stderr_and_the_rest_is_shown(clew: Clew) -> None:
    lines = raw_session(3)
    path = clew.session_file("s")
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    result = clew("history", "-s", "s", "--json")
    assert [line["seq"] for line in result.lines] == [1, 2, 3]
    assert f"{path}:2" in result.err


# Planted things


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file that a planted link points to; it must not change."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious\n")
    path.chmod(0o644)
    yield path
    assert path.read_bytes() == b"precious\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def refuses(session: Session, why: str, reads: bool = False) -> None:
    """Check that the session is not written to, and read only where that is said."""
    with pytest.raises(StoreError, match=why):
        add_run(session.log, "new")
    if not reads:
        with pytest.raises(StoreError, match=why):
            list(session.log.lines())


def test_a_symbolic_link_is_not_followed(session: Session, victim: Path) -> None:
    session.path.unlink()
    session.path.symlink_to(victim)
    refuses(session, "symbolic link")


def test_a_dangling_link_makes_no_file(session: Session, tmp_path: Path) -> None:
    session.path.unlink()
    session.path.symlink_to(tmp_path / "new")
    refuses(session, "symbolic link")
    assert not (tmp_path / "new").exists()


def test_a_hard_link_is_not_written_to(session: Session, victim: Path) -> None:
    session.path.unlink()
    session.path.hardlink_to(victim)
    refuses(session, "hard link", reads=True)


def test_a_pipe_does_not_block(session: Session) -> None:
    session.path.unlink()
    os.mkfifo(session.path)
    refuses(session, "not a regular file")


def test_a_folder_in_the_place_of_a_session_is_refused(session: Session) -> None:
    session.path.unlink()
    session.path.mkdir()
    refuses(session, "directory|regular file")


@pytest.mark.parametrize("suffix", [".append.lock", ".turn.lock", ".torn"])
def test_a_link_beside_the_session_is_not_followed(
    session: Session, victim: Path, suffix: str
) -> None:
    session.path.with_suffix(suffix).symlink_to(victim)
    session.holds(*session.lines, b'{"torn')
    with pytest.raises(StoreError, match="symbolic link"), session.log.turn("r", AT_ONCE):
        add_run(session.log, "new")
    assert session.path.read_bytes().startswith(b"".join(session.lines) + b'{"torn')


@pytest.mark.parametrize("name", [".cache/last", ".runs", ".inflight"])
def test_links_in_the_places_of_caches_change_nothing_elsewhere(
    session: Session, victim: Path, name: str
) -> None:
    place = session.folder / name
    place.parent.mkdir(exist_ok=True, mode=0o700)
    place.symlink_to(victim)
    for work in (
        lambda: add_run(session.log, "new"),
        lambda: session.store.claim("r", "s", "default", AT_ONCE).__enter__(),
        lambda: session.log.begin(intent(session.log, "r")),
        lambda: session.store.rename("s", "default", "trip"),
    ):
        with suppress(ClewError):
            work()


@AS_ROOT
def test_a_file_of_another_user_is_not_written_to(session: Session) -> None:
    os.chown(session.path, 12345, -1)
    refuses(session, "belongs to another user", reads=True)


@AS_ROOT
def test_a_folder_of_another_user_is_not_written_to(session: Session) -> None:
    os.chown(session.folder, 12345, -1)
    refuses(session, "belongs to another user", reads=True)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(session: Session, mode: int) -> None:
    session.folder.chmod(mode)
    refuses(session, "others may write", reads=True)


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError) as caught:
        add_run(JsonlStore(str(tmp_path / "home")).session("s", "default"), "r1")
    assert caught.value.hint is not None
    assert "--home" in caught.value.hint


def test_files_that_are_no_sessions_are_not_listed(session: Session) -> None:
    for name in ("notes.txt", "UPPER.jsonl", ".hidden.jsonl", "x.jsonl.bak"):
        (session.folder / name).write_text("x")
    (session.folder / "empty.jsonl").touch()
    assert [log.session_id for log in session.store.sessions("default")] == ["s"]


def test_however_many_sessions_there_are_they_are_listed_in_the_order_of_their_files(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "users" / "default"
    folder.mkdir(parents=True, mode=0o700)
    written = {f"s{number}": number * 7919 % 250 // 3 for number in range(250)}
    for name, seconds in written.items():
        (folder / f"{name}.jsonl").write_text("x")
        os.utime(folder / f"{name}.jsonl", (seconds, seconds))
    listed = [log.session_id for log in JsonlStore(str(tmp_path)).sessions("default")]
    assert listed == sorted(written, key=lambda name: (written[name], name), reverse=True)


def test_a_session_that_is_removed_while_sessions_are_listed_hides_no_other(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [session.folder / f"{name}.jsonl" for name in "abc"]
    for path in others:
        path.write_text("x")
    scandir = os.scandir

    def scanned(folder: int) -> Any:
        entries = list(scandir(folder))
        others[1].unlink(missing_ok=True)
        return nullcontext(entries)

    monkeypatch.setattr(os, "scandir", scanned)
    listed = {log.session_id for log in session.store.sessions("default")}
    assert listed == {"a", "c", "s"}


# Locks


def write_in_steps(session: Session, between: Callable[[], None]) -> int | None:
    """Append in a thread, and do something while it is about to write; return its seq."""
    about_to, go = threading.Event(), threading.Event()
    seqs: list[int | None] = []

    def draft(_tip: Tip) -> Draft:
        about_to.set()
        go.wait(30)
        return run_draft("slow")

    def write() -> None:
        line = session.store.session("s", "default").append(draft)
        seqs.append(line["seq"] if line is not None else None)

    thread = threading.Thread(target=write)
    thread.start()
    assert about_to.wait(100)
    between()
    go.set()
    thread.join(30)
    return seqs[0] if seqs else None


def test_a_lock_deleted_while_it_is_held_lets_no_number_be_given_twice(session: Session) -> None:
    def steal() -> None:
        for lock in session.folder.glob("*.lock"):
            lock.unlink()
        assert add_run(session.log, "thief")["seq"] == 4

    assert write_in_steps(session, steal) == 5
    assert session.numbers() == [1, 2, 3, 4, 5]


def test_a_file_replaced_while_it_is_written_gets_the_line(session: Session) -> None:
    def replace() -> None:
        copy = session.path.with_suffix(".copy")
        copy.write_bytes(session.path.read_bytes())
        os.replace(copy, session.path)

    assert write_in_steps(session, replace) == 4
    assert session.numbers() == [1, 2, 3, 4]


def test_a_file_that_is_put_there_while_the_first_line_is_made_is_gone_on_with(
    session: Session,
) -> None:
    session.path.unlink()

    def draft(_tip: Tip) -> Draft:
        if not session.path.exists():
            session.holds(*session.lines)
        return run_draft("new")

    line = session.log.append(draft)
    assert line is not None
    assert line["seq"] == 4
    assert session.numbers() == [1, 2, 3, 4]


def test_locks_and_caches_may_be_deleted(session: Session) -> None:
    session.store.rename("s", "default", "trip")
    add_run(session.log, "r4")
    for path in session.folder.rglob("*"):
        if path.is_file() and (path.suffix == ".lock" or ".cache" in path.parts):
            path.unlink()
    store = JsonlStore(str(session.folder.parent.parent))
    assert store.named("trip", "default") == "s"
    assert store.last_used("default") == ("s", False)
    assert add_run(store.session("s", "default"), "r5")["seq"] == 6


def test_a_name_stored_by_a_process_that_died_is_known(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_log: SessionFile, _draft: Any) -> None:
        real(_log, _draft)
        raise SystemExit

    real = cast(Any, SessionFile.append)
    session.store.rename("t", "default", "other")
    monkeypatch.setattr(SessionFile, "append", die)
    with pytest.raises(SystemExit):
        session.store.rename("s", "default", "trip")
    monkeypatch.undo()
    store = JsonlStore(str(session.folder.parent.parent))
    assert store.named("trip", "default") == "s"
    with pytest.raises(ClewError, match="taken"):
        store.rename("t", "default", "trip")


# A disk that fails


class Disk:
    """Watches what is written to one file, and fails where it is told to."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.done: list[str] = []
        self.room: int | None = None
        self.most = 1 << 30
        self.fsync_fails = False
        self._write, self._fsync = os.write, os.fsync
        patch.setattr(os, "write", self.write)
        patch.setattr(os, "fsync", self.fsync)

    def _is_it(self, fd: int) -> bool:
        return self.path.exists() and os.path.samestat(os.fstat(fd), self.path.stat())

    def write(self, fd: int, data: bytes) -> int:
        if not self._is_it(fd):
            return self._write(fd, data)
        data = bytes(data)[: self.most]
        if self.room is not None:
            data = data[: self.room]
            self.room -= len(data)
            if not data:
                raise OSError(errno.ENOSPC, "No space left on device")
        self.done.append("write")
        return self._write(fd, data)

    def fsync(self, fd: int) -> None:
        if self._is_it(fd):
            self.done.append("fsync")
            if self.fsync_fails:
                raise OSError(errno.EIO, "Input/output error")
        elif os.path.samestat(os.fstat(fd), self.path.parent.stat()):
            self.done.append("fsync folder")
        self._fsync(fd)


@pytest.fixture
def disk(session: Session, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(session.path, monkeypatch)


def test_a_line_is_synced_before_it_is_acknowledged(session: Session, disk: Disk) -> None:
    add_run(session.log, "new")
    assert disk.done == ["write", "fsync"]


def test_what_a_caller_does_to_a_line_is_not_built_on(session: Session) -> None:
    for number in (4, 5):
        line = add_run(session.log, f"r{number}", patch={"list": [number]})
        line["session_state"]["list"].append("mine")
        line["session_metrics"]["runs"] = 99
    assert add_run(session.log, "r6")["session_state"]["list"] == [5]
    assert add_run(session.log, "r7")["session_metrics"]["runs"] == 7


def test_a_line_of_another_process_is_built_on_at_once(session: Session) -> None:
    add_run(session.log, "r4")
    add_run(session.store.session("s", "default"), "r5", patch={"theirs": 1})
    line = add_run(session.log, "r6")
    assert (line["seq"], line["session_state"]["theirs"]) == (6, 1)


def test_the_name_of_a_new_file_is_synced_before_its_first_line(
    session: Session, disk: Disk
) -> None:
    session.path.unlink()
    add_run(session.log, "new")
    assert disk.done == ["fsync folder", "write", "fsync"]


def test_the_names_of_new_folders_are_synced_before_the_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = synced(monkeypatch)
    log = JsonlStore(str(tmp_path / "home")).session("s", "default")
    add_run(log, "r1")
    path = Path(log.location)
    above = [parent.stat().st_ino for parent in path.parents[:4]]
    assert found[: found.index(path.stat().st_ino)] == above[::-1]


def test_a_line_is_whole_however_few_bytes_a_write_takes(session: Session, disk: Disk) -> None:
    disk.most = 7
    assert add_run(session.log, "new")["seq"] == 4
    assert disk.done.count("write") > 10
    assert session.numbers() == [1, 2, 3, 4]


@pytest.mark.parametrize("room", [0, 1, 100, 700])
def test_a_full_disk_leaves_the_file_as_it_was(session: Session, disk: Disk, room: int) -> None:
    before = session.path.read_bytes()
    disk.room = room
    with pytest.raises(StoreError, match="No space left"):
        add_run(session.log, "new")
    assert session.path.read_bytes() == before
    disk.room = None
    assert add_run(session.log, "new")["seq"] == 4


def test_a_full_disk_loses_nothing_of_a_torn_end(session: Session, disk: Disk) -> None:
    session.holds(*session.lines, b'{"torn')
    disk.room = 0
    with pytest.raises(StoreError):
        add_run(session.log, "new")
    kept = session.path.read_bytes() + session.path.with_suffix(".torn").read_bytes()
    assert kept.startswith(b"".join(session.lines))
    assert b'{"torn' in kept


def synced(patch: pytest.MonkeyPatch) -> list[int]:
    """The files that are synced from now on, by their inodes, and -1 where one is cut short."""
    found: list[int] = []
    fsync, ftruncate = os.fsync, os.ftruncate

    def sync(fd: int) -> None:
        found.append(os.fstat(fd).st_ino)
        fsync(fd)

    def cut(fd: int, length: int) -> None:
        if length:
            found.append(-1)
        ftruncate(fd, length)

    patch.setattr(os, "fsync", sync)
    patch.setattr(os, "ftruncate", cut)
    return found


def test_a_torn_end_is_safe_elsewhere_before_it_is_cut_off(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.holds(*session.lines, b'{"torn')
    found = synced(monkeypatch)
    add_run(session.log, "new")
    aside = session.path.with_suffix(".torn").stat().st_ino
    before = found[: found.index(-1)]
    assert before == [aside, session.folder.stat().st_ino]


def test_a_run_is_on_record_before_it_begins(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = synced(monkeypatch)
    flight = session.log.begin(intent(session.log, "new"))
    [record] = session.folder.rglob("*.part")
    assert found[-2:] == [record.stat().st_ino, record.parent.stat().st_ino]
    flight.landed()


def test_a_sync_that_failed_is_told_and_not_tried_again(session: Session, disk: Disk) -> None:
    disk.fsync_fails = True
    with pytest.raises(StoreError, match="did not confirm"):
        add_run(session.log, "new")
    assert disk.done == ["write", "fsync"]


def test_a_run_whose_sync_failed_is_not_stored_twice(session: Session, disk: Disk) -> None:
    flight = session.log.begin(intent(session.log, "new"))
    disk.fsync_fails = True
    with pytest.raises(StoreError):
        add_run(session.log, "new")
    flight.stranded()
    disk.fsync_fails = False
    assert session.store.session("s", "default").recover() == []
    assert session.numbers() == [1, 2, 3, 4]


def test_a_run_that_died_at_its_newline_is_not_stored_twice(session: Session) -> None:
    session.log.begin(intent(session.log, "new")).stranded()
    add_run(session.log, "new")
    session.path.write_bytes(session.path.read_bytes()[:-1])
    assert session.log.recover() == []
    assert session.numbers() == [1, 2, 3, 4]
    assert not records(session)


def test_a_read_error_is_a_store_error(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    for read in (
        lambda: list(session.log.lines()),
        session.log.last,
        lambda: next(session.log.newest()),
    ):
        with pytest.raises(StoreError, match="cannot read"):
            read()


def failing(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("call", ["stat", "fstat", "open", "pread"])
def test_a_session_that_cannot_be_read_is_not_taken_for_none(
    session: Session, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    told = pytest.raises(StoreError, match=r"cannot read .*Input/output")
    with told, monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        session.log.exists() and session.log.last()


def test_a_record_that_cannot_be_locked_is_told(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.log.begin(intent(session.log, "new")).stranded()
    monkeypatch.setattr("clew.stores.native_lock.lock", failing)
    with pytest.raises(StoreError, match=r"cannot recover .*Input/output"):
        session.log.recover()


def test_a_record_that_cannot_be_read_now_is_told_and_kept(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.log.begin(intent(session.log, "new")).stranded()
    monkeypatch.setattr(os, "pread", failing)
    for read in (session.log.in_flight, session.log.recover):
        with pytest.raises(StoreError, match="Input/output"):
            read()
    assert len(records(session)) == 1


def test_a_complaint_about_the_closing_of_files_loses_no_answer(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = os.close

    def complain(fd: int) -> None:
        close(fd)
        failing()

    monkeypatch.setattr(os, "close", complain)
    with session.log.turn("new", AT_ONCE):
        flight = session.log.begin(intent(session.log, "new"))
        assert add_run(session.log, "new")["seq"] == 4
        flight.landed()
    assert session.log.recover() == []
    assert session.numbers() == [1, 2, 3, 4]


def test_a_run_that_cannot_be_recorded_does_not_begin(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = intent(session.log, "new")

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(StoreError, match="No space left"):
        session.log.begin(line)
    monkeypatch.undo()
    assert session.log.in_flight() == []
    assert not [path for path in session.folder.rglob("*") if path.suffix in (".new", ".part")]


def test_a_run_goes_on_where_its_notes_find_no_room(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = session.log.begin(intent(session.log, "new"))
    flight.note({"text": "kept "})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        flight.note({"text": "lost"})
    flight.note({"text": "after"})
    flight.stranded()
    [line] = session.store.session("s", "default").recover()
    assert line["content"] == "kept "


# Runs found dead


def records(session: Session) -> list[Path]:
    return sorted(session.folder.rglob("*.part"))


@pytest.mark.parametrize(
    "junk", [b"", b"\n", b"{}\n", b"[]\n", b'{"intent":1,"after":0}\n', NESTED]
)
def test_a_record_that_cannot_be_read_is_moved_aside_and_told(
    session: Session, junk: bytes
) -> None:
    session.log.begin(intent(session.log, "new")).stranded()
    [record] = records(session)
    record.write_bytes(junk)
    assert session.log.in_flight() == []
    assert session.log.recover() == []
    assert [problem.path for problem in session.log.problems] == [str(record)]
    assert not records(session)
    assert [
        path for path in session.folder.rglob("*") if path.is_file() and path.read_bytes() == junk
    ]


def test_a_record_without_any_one_of_its_parts_is_no_bug(session: Session) -> None:
    whole = json.loads(json.dumps(intent(session.log, "new")))
    for path in list(values(whole)):
        for junk in (None, "x", 7, [1]):
            session.log.begin(intent(session.log, "new")).stranded()
            [record] = records(session)
            broken = {"intent": damaged_at(whole, path, junk), "after": 3}
            record.write_text(json.dumps(broken) + "\n")
            log = session.store.session("s", "default")
            assert len(log.in_flight()) + len(log.recover()) in (0, 2), (path, junk)
            session.holds(*session.lines)


def dead_job(session: Session) -> Path:
    """The record of a job that died."""
    with pytest.raises(KeyboardInterrupt), session.log.job(job_intent(session.log, "j1")) as flight:
        flight.note({"open": call(9)})
        raise KeyboardInterrupt
    [record] = session.folder.rglob("*.job")
    return record


@pytest.mark.parametrize(
    "junk", [b"", b"\n", b"{}\n", b"[]\n", b'{"intent":1,"after":0}\n', NESTED]
)
def test_a_record_of_a_job_that_cannot_be_read_is_moved_aside_and_told(
    session: Session, junk: bytes
) -> None:
    record = dead_job(session)
    record.write_bytes(junk)
    session.log.recover()
    assert [problem.path for problem in session.log.problems] == [str(record)]
    assert not record.exists()
    assert record.with_suffix(".job.damaged").read_bytes() == junk
    assert len(list(session.log.lines())) == len(session.lines)


def test_a_record_of_a_job_with_anything_in_any_place_is_no_bug(session: Session) -> None:
    raw = dead_job(session).read_bytes().splitlines()
    whole = [json.loads(line) for line in raw]
    for number, note in enumerate(whole):
        for path in list(values(note)):
            for junk in (None, "x", 7, [1], -1e300):
                broken = [*whole[:number], damaged_at(note, path, junk), *whole[number + 1 :]]
                session.holds(*session.lines)
                record = session.folder / ".inflight" / "s~x.job"
                record.write_text("".join(f"{json.dumps(one)}\n" for one in broken))
                log = session.store.session("s", "default")
                log.recover()
                assert log.last() is not None
                assert len(list(log.lines())) - len(session.lines) in (0, 1), (path, junk)
                assert not record.exists()


def test_notes_torn_at_any_byte_leave_a_run_to_recover(session: Session) -> None:
    flight = session.log.begin(intent(session.log, "new"))
    [record] = records(session)
    begun = len(record.read_bytes())
    flight.note({"text": "one "})
    flight.note({"text": "two"})
    flight.stranded()
    raw = record.read_bytes()
    for length in range(begun, len(raw) + 1):
        record.write_bytes(raw[:length])
        [found] = session.log.in_flight()
        assert "one two".startswith(found.line["content"])


@pytest.mark.parametrize(
    "note", [{"call": {}}, {"tool": 1}, {"open": {"input_tokens": "x"}}, {"message": {}}], ids=str
)
def test_a_damaged_note_does_not_take_the_text_with_it(session: Session, note: Any) -> None:
    flight = session.log.begin(intent(session.log, "new"))
    for one in ({"text": "one "}, note, {"text": "two"}):
        flight.note(one)
    flight.stranded()
    [recovered] = session.log.recover()
    assert recovered["content"] == "one two"
    session.numbers()


CHILD = """
import os, signal, sys
from clew.core import Agent
from clew.core.model import ModelReply
from clew.core.usage import no_usage
from clew.stores import JsonlStore

class Killer:
    name, takes_schema, window, price = "replay:killer", True, None, None

    def ask(self, request, on_text):
        on_text("Once upon ")
        on_text("a time")
        os.kill(os.getpid(), signal.SIGKILL)

Agent(model=Killer()).run("tell", session_id="s", run_id="r1", store=JsonlStore(sys.argv[1]))
"""


@pytest.fixture
def killed(clew: Clew) -> Clew:
    """A home in which a run was killed in the middle of its answer."""
    clew("run", "-s", "s", "-m", clew.recording(("hi", "hello")), "hi")
    child = subprocess.run([sys.executable, "-c", CHILD, str(clew.home)], env=clew.env, check=False)
    assert child.returncode == -signal.SIGKILL
    return clew


def times(root: Path) -> dict[Path, int]:
    """When each file that is no cache was written to."""
    files = (path for path in root.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_killed_run_is_shown_by_readers_that_write_nothing_but_caches(killed: Clew) -> None:
    before = times(killed.home)
    lines = killed("history", "-s", "s", "--json").lines
    assert [(line["status"], line["seq"]) for line in lines] == [
        ("COMPLETED", 1),
        ("INTERRUPTED", None),
    ]
    assert lines[1]["content"] == "Once upon a time"
    killed("state", "-s", "s")
    killed("sessions", "list")
    assert times(killed.home) == before


def test_a_killed_run_is_recovered_once_by_the_next_run(killed: Clew) -> None:
    for _ in range(2):
        killed("continue", "-s", "s", "-m", killed.recording(("hi", "hello")), "hi")
    found = [(line["status"], line["content"]) for line in killed.stored("s")]
    assert found == [
        ("COMPLETED", "hello"),
        ("INTERRUPTED", "Once upon a time"),
        ("COMPLETED", "hello"),
        ("COMPLETED", "hello"),
    ]
    assert not list(killed.home.rglob("*.part"))


def test_a_killed_run_with_an_id_of_its_own_is_gone_on_with(killed: Clew) -> None:
    model = killed.recording(("tell", "Once upon a time there was a cat."))
    result = killed("run", "-s", "s", "--run-id", "r1", "-m", model, "--json", "tell")
    assert result.json["resumes"] == "r1"
    assert result.json["content"] == "Once upon a time there was a cat."
    assert [line["status"] for line in killed.stored("s")] == [
        "COMPLETED",
        "INTERRUPTED",
        "COMPLETED",
    ]


@pytest.mark.parametrize("dead", [False, True], ids=["under way", "dead"])
def test_a_session_that_has_but_several_runs_in_flight_is_one_session(
    tmp_path: Path, dead: bool
) -> None:
    store, generated = JsonlStore(str(tmp_path / "home")), "3f2a0000-1111-4222-8333-444444444444"
    log = store.session(generated, "default")
    flights = [log.begin(intent(log, run_id)) for run_id in ("team", "ann", "bob")]
    for flight in flights if dead else []:
        flight.stranded()
    assert [one.session_id for one in store.sessions("default")] == [generated]
    assert store.with_prefix("3f2a", "default") == [generated]
    for flight in [] if dead else flights:
        flight.landed()


# Reading from the end


def test_lines_read_from_the_end_cost_the_end_only(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = session.lines[0]
    session.holds(line * 10_000)
    sizes: list[int] = []
    real = os.pread

    def count(fd: int, length: int, offset: int) -> bytes:
        sizes.append(length)
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", count)
    newest = session.log.newest()
    for _ in range(3):
        next(newest)
    assert sum(sizes) <= 3 * len(line) + 16 * 1024


@pytest.mark.parametrize("length", [1, 8191, 8192, 8193, 24576, 300_000])
def test_lines_of_any_length_are_read_whole_from_the_end(tmp_path: Path, length: int) -> None:
    lines = [bytes([65 + number]) * length for number in range(5)]
    path = tmp_path / "file"
    path.write_bytes(b"\n".join(lines) + b"\ntorn")
    with path.open("rb") as file:
        found = list(backwards(file.fileno(), path.stat().st_size))
    assert found == [(number * (length + 1), lines[number]) for number in (4, 3, 2, 1, 0)]
