"""What every store promises: the same tests for each of them."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from clew.core.clock import new_id
from clew.core.errors import BusyError, ConflictError
from clew.core.lines import RunLine
from clew.core.session import Draft, Tip, always, state_draft
from clew.core.store import Flight, Holder, SessionLog, Store, Waiting
from clew.stores import JsonlStore, MemoryStore
from tests.conftest import eventually
from tests.stores.made import add_run, call, intent, job_draft, job_intent, run_draft, state_line

AT_ONCE = Waiting(0)
THREADS = 8
HEAD = ["v", "type", "seq", "session_id", "user_id", "created_at"]
TAIL = ["session_state", "session_metrics"]


class Place:
    """A store, and how another process would open it."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind = kind
        self.root = root
        self.store = self.reopen()

    def reopen(self) -> Store:
        if self.kind == "memory":
            return self.__dict__.get("store") or MemoryStore()
        return JsonlStore(str(self.root), "a terminal")


@pytest.fixture(params=["memory", "jsonl"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "home")


@pytest.fixture
def store(place: Place) -> Store:
    return place.store


@pytest.fixture
def log(store: Store) -> SessionLog:
    return store.session("s", "default")


def together(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """Do the work in so many threads that all start at once; return what each gave or raised."""
    gate = threading.Barrier(count)
    results: list[Any] = [None] * count

    def one(number: int) -> None:
        gate.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(200)
    finally:
        sys.setswitchinterval(interval)
    return results


@contextmanager
def elsewhere(taking: Callable[[], Any]) -> Iterator[None]:
    """Have what a context manager gives in another thread, for the length of the block."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with taking():
            taken.set()
            done.wait(200)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(100)
    try:
        yield
    finally:
        done.set()
        thread.join(100)


def set_state(log: SessionLog, patch: dict[str, Any]) -> None:
    log.append(always(state_line(patch)))


def die(flight: Flight) -> None:
    """Leave a record as a dead process leaves it."""
    flight.stranded()


# Lines


def test_a_new_session_is_not_there(log: SessionLog) -> None:
    assert (log.exists(), list(log.lines()), list(log.newest()), log.last()) == (
        False,
        [],
        [],
        None,
    )


def test_a_look_at_a_session_does_not_make_it(place: Place) -> None:
    store = place.store
    log = store.session("s", "default")
    log.exists(), log.last(), log.in_flight(), log.recover()
    assert list(store.sessions("default")) == []
    assert store.last_used("default") is None
    assert not place.root.exists()


def test_lines_are_numbered_from_one_without_gaps(log: SessionLog) -> None:
    add_run(log, "r1")
    set_state(log, {"a": 1})
    add_run(log, "r2", status="ERROR")
    assert [line["seq"] for line in log.lines()] == [1, 2, 3]


def test_newest_yields_the_lines_from_the_last_to_the_first(log: SessionLog) -> None:
    for number in range(50):
        add_run(log, f"r{number}")
    assert list(log.newest()) == list(log.lines())[::-1]


def test_last_is_the_last_line(log: SessionLog) -> None:
    add_run(log, "r1")
    stored = add_run(log, "r2")
    assert log.last() == stored


@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_a_line_is_found_by_its_number(log: SessionLog, count: int) -> None:
    for number in range(1, count + 1):
        set_state(log, {"n": "x" * (number % 7 * 3000)})
    lines = list(log.lines())
    assert [log.at(seq) for seq in range(1, count + 1)] == lines
    assert (log.at(0), log.at(count + 1)) == (None, None)


def test_append_returns_the_line_as_it_is_stored(place: Place) -> None:
    stored = add_run(place.store.session("s", "default"), "r1", patch={"a": {"b": 1}})
    assert list(place.reopen().session("s", "default").lines()) == [stored]


@pytest.mark.parametrize("draft", [run_draft("r"), state_line({"a": 1})])
def test_every_line_has_the_same_keys_at_both_ends(log: SessionLog, draft: Draft) -> None:
    log.append(always(draft))
    keys = list(next(log.lines()))
    assert keys == [*HEAD, *draft.fields, *TAIL]


def test_a_stored_line_does_not_change_with_what_was_given_or_got(log: SessionLog) -> None:
    given: dict[str, Any] = {"list": [1]}
    stored = add_run(log, "r1", patch=given)
    given["list"].append(2)
    stored["session_state"]["list"].append(3)
    next(log.lines())["session_state"]["list"].append(4)
    assert next(log.lines())["session_state"] == {"list": [1]}


def test_a_drafter_sees_where_the_session_stands(log: SessionLog) -> None:
    add_run(log, "r1", patch={"a": 1})
    seen: list[Tip] = []

    def draft(tip: Tip) -> Draft:
        seen.append(tip)
        return run_draft("r2")

    log.append(draft)
    assert (seen[0].seq, seen[0].state, seen[0].metrics["runs"]) == (1, {"a": 1}, 1)


def test_a_drafter_that_returns_nothing_writes_nothing(store: Store, log: SessionLog) -> None:
    assert log.append(lambda _tip: None) is None
    assert not log.exists()
    assert store.last_used("default") is None


def test_what_a_drafter_raises_passes_and_leaves_the_session_as_before(log: SessionLog) -> None:
    stored = add_run(log, "r1")

    def draft(_tip: Tip) -> Draft:
        raise ConflictError("no")

    with pytest.raises(ConflictError, match="no"):
        log.append(draft)
    assert list(log.lines()) == [stored]
    assert add_run(log, "r2")["seq"] == 2


def test_totals_are_carried_from_line_to_line(log: SessionLog) -> None:
    add_run(log, "r1")
    add_run(log, "r2", status="ERROR")
    set_state(log, {"a": 1})
    last = log.last()
    assert last is not None
    metrics = last["session_metrics"]
    assert (metrics["runs"], metrics["turns"], metrics["total_tokens"]) == (2, 1, 14)


def test_state_is_merged_key_by_key_and_the_later_line_wins(log: SessionLog) -> None:
    add_run(log, "r1", patch={"a": {"x": 1, "y": 1}, "gone": 1})
    set_state(log, {"a": {"y": 2}, "gone": None, "new": None})
    last = log.last()
    assert last is not None
    assert last["session_state"] == {"a": {"x": 1, "y": 2}}


def test_state_changes_of_runs_side_by_side_are_all_kept(log: SessionLog) -> None:
    drafts = [run_draft(f"r{key}", patch={f"key{key}": key}) for key in range(THREADS)]
    together(lambda number: log.append(always(drafts[number])))
    last = log.last()
    assert last is not None
    assert last["session_state"] == {f"key{key}": key for key in range(THREADS)}


def test_a_count_under_the_lock_loses_nothing(place: Place) -> None:
    def count_up(_number: int) -> None:
        log = place.reopen().session("s", "default")
        change = state_draft(
            lambda state: {"n": state.get("n", 0) + 1}, by=None, only_if=None, create=False
        )
        for _ in range(5):
            log.append(change)

    together(count_up)
    last = place.store.session("s", "default").last()
    assert last is not None
    assert last["session_state"] == {"n": 5 * THREADS}


def test_lines_written_at_once_are_all_there_in_one_order(place: Place) -> None:
    def write(number: int) -> list[int | None]:
        log = place.reopen().session("s", "default")
        return [add_run(log, f"r{number}-{each}")["seq"] for each in range(5)]

    given = [seq for seqs in together(write) for seq in seqs]
    lines = list(place.store.session("s", "default").lines())
    assert sorted(given) == list(range(1, 5 * THREADS + 1))
    assert [line["seq"] for line in lines] == sorted(given)
    assert len({line["run_id"] for line in lines if line["type"] == "run"}) == len(lines)


# Users


def test_a_user_does_not_see_another_ones_session_of_the_same_id(store: Store) -> None:
    add_run(store.session("s", "ada"), "r1")
    other = store.session("s", "bob")
    assert (other.exists(), list(other.lines()), other.last()) == (False, [], None)
    assert list(store.sessions("bob")) == []


@pytest.mark.parametrize("other", ["Ada", "ada ", "a%64a", "../ada", "äda", "."])
def test_users_with_similar_names_are_kept_apart(store: Store, other: str) -> None:
    add_run(store.session("s", "ada"), "r1")
    add_run(store.session("s", other), "r2")
    lines = [line for line in store.session("s", "ada").lines() if line["type"] == "run"]
    assert [line["run_id"] for line in lines] == ["r1"]


def test_a_user_does_not_find_another_ones_session_by_prefix(store: Store) -> None:
    session = new_id()
    add_run(store.session(session, "ada"), "r1")
    assert store.with_prefix(session[:8], "ada") == [session]
    assert store.with_prefix(session[:8], "bob") == []


def test_a_name_belongs_to_one_user(store: Store) -> None:
    for user, session in (("ada", "s1"), ("bob", "s2")):
        add_run(store.session(session, user), "r1")
        store.rename(session, user, "trip")
    assert (store.named("trip", "ada"), store.named("trip", "bob")) == ("s1", "s2")
    assert store.name_of("s1", "bob") is None


def test_a_run_id_belongs_to_one_user(store: Store) -> None:
    for user, session in (("ada", "s1"), ("bob", "s2")):
        with store.claim("run", session, user, AT_ONCE) as claim:
            assert claim.session_id == session


def test_last_used_is_each_users_own(store: Store) -> None:
    add_run(store.session("s1", "ada"), "r1")
    assert store.last_used("bob") is None


# Turns


def test_a_turn_is_had_by_one_at_a_time(place: Place) -> None:
    inside: list[int] = []
    most: list[int] = []

    def take(number: int) -> None:
        log = place.reopen().session("s", "default")
        with log.turn(f"r{number}", Waiting(30)):
            inside.append(number)
            most.append(len(inside))
            add_run(log, f"r{number}")
            inside.remove(number)

    assert together(take) == [None] * THREADS
    assert most == [1] * THREADS


def test_without_waiting_a_busy_session_says_who_has_it(place: Place) -> None:
    other = place.reopen().session("s", "default")
    log = place.store.session("s", "default")
    with (
        elsewhere(lambda: other.turn("the-first", AT_ONCE)),
        pytest.raises(BusyError, match="the-first"),
        log.turn("r2", AT_ONCE),
    ):
        pass


def test_who_waits_is_told_once_who_has_the_turn(place: Place) -> None:
    told: list[Holder] = []
    other = place.reopen().session("s", "default")
    log = place.store.session("s", "default")
    with (
        elsewhere(lambda: other.turn("the-first", AT_ONCE)),
        pytest.raises(BusyError),
        log.turn("r2", Waiting(1.3, told.append)),
    ):
        pass
    assert [holder.run_id for holder in told] == ["the-first"]


def test_who_waits_gets_the_turn_when_it_is_free(place: Place) -> None:
    freed = threading.Event()
    log = place.store.session("s", "default")
    with log.turn("r1", AT_ONCE):
        waiter = threading.Thread(target=lambda: _take(place, freed))
        waiter.start()
        assert not freed.wait(0.05)
    waiter.join(100)
    assert freed.is_set()


def _take(place: Place, freed: threading.Event) -> None:
    with place.reopen().session("s", "default").turn("r2", Waiting(100)):
        freed.set()


def test_a_turn_ends_with_an_error_too(log: SessionLog) -> None:
    with pytest.raises(KeyError), log.turn("r1", AT_ONCE):
        raise KeyError
    with log.turn("r2", AT_ONCE):
        pass


@pytest.mark.parametrize("seconds", [0.0, 1.0, 1.0000001])
def test_a_wait_of_any_length_ends_in_busy(place: Place, seconds: float) -> None:
    other = place.reopen().session("s", "default")
    log = place.store.session("s", "default")
    with (
        elsewhere(lambda: other.turn("r1", AT_ONCE)),
        pytest.raises(BusyError),
        log.turn("r2", Waiting(seconds)),
    ):
        pass


def test_a_wait_longer_than_any_clock_is_a_wait(place: Place) -> None:
    freed = threading.Event()
    told = threading.Event()

    def take() -> None:
        other = place.reopen().session("s", "default")
        with other.turn("r2", Waiting(1e300, lambda _holder: told.set())):
            freed.set()

    with place.store.session("s", "default").turn("r1", AT_ONCE):
        waiter = threading.Thread(target=take)
        waiter.start()
        assert told.wait(100)
    assert freed.wait(100)
    waiter.join(100)


def test_sessions_and_users_have_turns_of_their_own(store: Store) -> None:
    with (
        store.session("s", "ada").turn("r1", AT_ONCE),
        store.session("t", "ada").turn("r2", AT_ONCE),
        store.session("s", "bob").turn("r3", AT_ONCE),
    ):
        pass


def test_lines_can_be_read_and_written_while_another_has_the_turn(place: Place) -> None:
    other = place.reopen().session("s", "default")
    with elsewhere(lambda: other.turn("r1", AT_ONCE)):
        log = place.store.session("s", "default")
        set_state(log, {"a": 1})
        assert [line["session_state"] for line in log.lines()] == [{"a": 1}]


# Runs in flight


def test_a_run_in_flight_makes_the_session_exist(log: SessionLog) -> None:
    flight = log.begin(intent(log, "r1"))
    assert log.exists()
    flight.landed()


def test_a_run_under_way_is_told_from_one_found_dead(place: Place) -> None:
    log = place.store.session("s", "default")
    living, dead = log.begin(intent(log, "r1")), log.begin(intent(log, "r2"))
    die(dead)
    seen = place.reopen().session("s", "default").in_flight()
    assert {one.line["run_id"]: one.running for one in seen} == {"r1": True, "r2": False}
    living.landed()


def test_dead_runs_that_are_said_to_be_in_each_other_are_recovered_all_the_same(
    log: SessionLog,
) -> None:
    for run_id, around in (("r1", "r2"), ("r2", "r1")):
        line = intent(log, run_id)
        line["parent_run_id"] = line["root_run_id"] = around
        die(log.begin(line))
    assert sorted(run["run_id"] for run in log.recover()) == ["r1", "r2"]
    assert log.in_flight() == []


def test_a_run_under_way_is_not_recovered(place: Place) -> None:
    log = place.store.session("s", "default")
    flight = log.begin(intent(log, "r1"))
    assert place.reopen().session("s", "default").recover() == []
    flight.landed()


def test_a_run_that_landed_leaves_nothing_behind(place: Place) -> None:
    log = place.store.session("s", "default")
    flight = log.begin(intent(log, "r1"))
    add_run(log, "r1")
    flight.landed()
    assert (log.in_flight(), log.recover()) == ([], [])
    assert len(list(log.lines())) == 1
    assert not list(place.root.rglob("*.part"))


def interrupted(place: Place, patch: dict[str, Any] | None = None) -> RunLine:
    """The line of a run that died in the middle of its answer."""
    log = place.store.session("s", "default")
    flight = log.begin(intent(log, "r1", patch))
    flight.note({"open": call(input_tokens=9)})
    flight.note({"text": "Once upon "})
    flight.note({"text": "a ti"})
    die(flight)
    [line] = place.reopen().session("s", "default").recover()
    return line


def test_a_dead_run_is_recovered_with_what_came_of_it(place: Place) -> None:
    line = interrupted(place)
    assert (line["status"], line["content"]) == ("INTERRUPTED", "Once upon a ti")
    assert line["messages"][-1] == {"role": "assistant", "content": "Once upon a ti"}
    assert line["error"] is not None
    assert line["error"]["kind"] == "interrupted"


def test_what_a_dead_run_used_is_counted_by_estimate(place: Place) -> None:
    metrics = interrupted(place)["metrics"]
    assert (metrics["input_tokens"], metrics["estimated"]) == (9, True)
    assert metrics["output_tokens"] > 0
    last = place.store.session("s", "default").last()
    assert last is not None
    assert last["session_metrics"]["total_tokens"] == metrics["total_tokens"]


def test_the_state_that_a_dead_run_was_given_is_kept(place: Place) -> None:
    line = interrupted(place, {"a": 1})
    assert (line["state_patch"], line["session_state"]) == ({"a": 1}, {"a": 1})


def test_a_dead_run_is_recovered_once(place: Place) -> None:
    interrupted(place)
    log = place.reopen().session("s", "default")
    assert (log.recover(), log.in_flight()) == ([], [])
    assert [line["seq"] for line in log.lines()] == [1]


def test_a_dead_run_is_recovered_once_by_many_at_once(place: Place) -> None:
    log = place.store.session("s", "default")
    for number in range(5):
        die(log.begin(intent(log, f"r{number}")))
    found = together(lambda _number: place.reopen().session("s", "default").recover())
    assert sum(len(lines) for lines in found) == 5
    runs = [line["run_id"] for line in log.lines() if line["type"] == "run"]
    assert sorted(runs) == [f"r{number}" for number in range(5)]


def test_a_dead_run_is_shown_before_it_is_recovered(place: Place) -> None:
    log = place.store.session("s", "default")
    flight = log.begin(intent(log, "r1"))
    flight.note({"text": "half"})
    die(flight)
    [found] = place.reopen().session("s", "default").in_flight()
    assert (found.line["content"], found.line["status"]) == ("half", "INTERRUPTED")
    assert found.line["seq"] is None
    assert list(log.lines()) == []


def test_a_run_that_has_its_line_is_not_recovered(place: Place) -> None:
    log = place.store.session("s", "default")
    flight = log.begin(intent(log, "r1"))
    add_run(log, "r1")
    die(flight)
    other = place.reopen().session("s", "default")
    assert (other.in_flight(), other.recover()) == ([], [])
    assert [line["seq"] for line in other.lines()] == [1]
    assert not other.in_flight()


def test_runs_in_flight_are_listed_oldest_first(log: SessionLog) -> None:
    begun = [intent(log, run_id) for run_id in ("b", "a", "c")]
    for number, line in enumerate(begun):
        line["started_at"] = f"2026-01-01T00:00:0{number}.000Z"
        die(log.begin(line))
    assert [one.line["run_id"] for one in log.in_flight()] == ["b", "a", "c"]


def test_runs_in_flight_belong_to_one_session_of_one_user(store: Store) -> None:
    log = store.session("s", "ada")
    die(log.begin(intent(log, "r1")))
    for session, user in (("s", "bob"), ("s2", "ada"), ("s.inflight", "ada")):
        other = store.session(session, user)
        assert (other.exists(), other.in_flight(), other.recover()) == (False, [], [])


# Jobs


class Crash(BaseException):
    """The death of a process."""


def crash(
    log: SessionLog, job_id: str, notes: list[dict[str, Any]], *, store: bool = False
) -> None:
    """Begin a job, write down these notes, and die, before or after its line is stored."""
    with pytest.raises(Crash), log.job(job_intent(log, job_id)) as flight:
        for note in notes:
            flight.note(note)
        if store:
            log.append(always(job_draft(job_id, "All of it.", tokens=9)))
        raise Crash


def test_one_job_is_done_at_a_time(place: Place) -> None:
    log, other = (place.reopen().session("s", "default") for _ in range(2))
    with elsewhere(lambda: log.job(job_intent(log, "j1"))), pytest.raises(BusyError):
        other.job(job_intent(other, "j2")).__enter__()
    with other.job(job_intent(other, "j2")):
        pass


def test_a_job_is_done_while_another_has_the_turn(place: Place) -> None:
    log, other = (place.reopen().session("s", "default") for _ in range(2))
    with elsewhere(lambda: log.turn("r1", AT_ONCE)), other.job(job_intent(other, "j1")):
        assert other.recover() == []


def test_a_job_that_ended_leaves_nothing_behind(place: Place) -> None:
    log = place.store.session("s", "default")
    with log.job(job_intent(log, "j1")) as flight:
        flight.note({"open": call(9)})
    assert (log.exists(), log.in_flight(), log.recover()) == (False, [], [])
    assert list(log.lines()) == []
    assert not list(place.root.rglob("*~*"))


def test_a_dead_job_of_a_session_that_is_gone_does_not_bring_it_back(place: Place) -> None:
    if place.kind == "memory":
        pytest.skip("nobody can take a session away")
    log = place.store.session("s", "default")
    add_run(log, "r1")
    crash(log, "j1", [{"open": call(9)}])
    [path] = place.root.rglob("s.jsonl")
    path.unlink()
    other = place.reopen().session("s", "default")
    other.recover()
    assert not other.exists()


def test_what_a_dead_job_used_is_stored_once(place: Place) -> None:
    log = place.store.session("s", "default")
    add_run(log, "r1")
    crash(log, "j1", [{"open": call(9)}, {"text": "Once upon a ti"}])
    for _ in range(2):
        assert place.reopen().session("s", "default").recover() == []
    [_, line] = log.lines()
    assert line["type"] == "session"
    assert (line["job_id"], line["summary"]) == ("j1", None)
    assert line["error"] is not None
    assert line["error"]["kind"] == "interrupted"
    used = line["metrics"]["total_tokens"]
    assert used > 9
    assert line["session_metrics"]["total_tokens"] == 7 + used


def test_a_job_that_asked_nothing_leaves_no_line(place: Place) -> None:
    log = place.store.session("s", "default")
    crash(log, "j1", [])
    place.reopen().session("s", "default").recover()
    assert list(log.lines()) == []


def test_a_dead_job_that_has_its_line_is_not_stored_again(place: Place) -> None:
    log = place.store.session("s", "default")
    crash(log, "j1", [{"open": call(9)}, {"call": call(9)}], store=True)
    place.reopen().session("s", "default").recover()
    assert len(list(log.lines())) == 1


def test_a_dead_job_is_no_run_in_flight(place: Place) -> None:
    log = place.store.session("s", "default")
    crash(log, "j1", [{"open": call(9)}])
    assert (log.in_flight(), log.exists()) == ([], False)


# Run ids


def test_a_run_id_belongs_for_ever_to_the_session_that_claimed_it_first(place: Place) -> None:
    with place.store.claim("run", "s1", "default", AT_ONCE) as claim:
        assert (claim.session_id, claim.fresh) == ("s1", True)
    with place.reopen().claim("run", "s2", "default", AT_ONCE) as claim:
        assert claim.session_id == "s1"


def test_a_claim_knows_after_which_line_it_was_made_first(place: Place) -> None:
    log = place.store.session("s", "default")
    add_run(log, "r1")
    for fresh in (True, False):
        with place.reopen().claim("run", "s", "default", AT_ONCE) as claim:
            assert (claim.fresh, claim.after) == (fresh, 1)
        add_run(log, f"r2 {fresh}")


def test_a_run_id_claimed_by_many_at_once_has_one_owner(place: Place) -> None:
    def owner(number: int) -> str:
        with place.reopen().claim("run", f"s{number}", "default", Waiting(30)) as claim:
            return claim.session_id

    assert len(set(together(owner))) == 1


def test_a_run_id_in_use_is_busy(place: Place) -> None:
    with (
        elsewhere(lambda: place.reopen().claim("run", "s", "default", AT_ONCE)),
        pytest.raises(BusyError, match="run"),
        place.store.claim("run", "s", "default", AT_ONCE),
    ):
        pass


def test_a_run_id_may_be_any_text(store: Store) -> None:
    odd = ["../x", "a/b", ".", "naïve 行", "A", "a"]
    for number, run_id in enumerate(odd):
        with store.claim(run_id, f"s{number}", "default", AT_ONCE) as claim:
            assert claim.session_id == f"s{number}"


# Names and lists


def test_a_named_session_is_found_by_its_name(place: Place) -> None:
    add_run(place.store.session("s", "default"), "r1")
    place.store.rename("s", "default", "My trip")
    store = place.reopen()
    assert store.named("My trip", "default") == "s"
    assert store.name_of("s", "default") == "My trip"


def test_a_name_is_kept_in_the_session(log: SessionLog, store: Store) -> None:
    store.rename("s", "default", "trip")
    last = log.last()
    assert last is not None
    assert last["type"] == "session"
    assert last["name"] == "trip"


def test_a_name_outlasts_what_a_model_is_asked_later(store: Store, log: SessionLog) -> None:
    store.rename("s", "default", "trip")
    log.append(always(job_draft("j1", "All of it.")))
    assert (store.name_of("s", "default"), store.named("trip", "default")) == ("trip", "s")


def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing(store: Store) -> None:
    store.rename("s1", "default", "trip")
    add_run(store.session("s2", "default"), "r1")
    with pytest.raises(ConflictError, match="s1"):
        store.rename("s2", "default", "trip")
    assert store.name_of("s2", "default") is None
    assert len(list(store.session("s2", "default").lines())) == 1


def test_names_that_look_the_same_are_the_same(store: Store) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    store.rename("s1", "default", decomposed)
    assert store.named(composed, "default") == "s1"
    with pytest.raises(ConflictError):
        store.rename("s2", "default", composed)


def test_a_name_given_again_writes_nothing(store: Store, log: SessionLog) -> None:
    store.rename("s", "default", "trip")
    store.rename("s", "default", "trip")
    assert len(list(log.lines())) == 1


def test_a_session_that_got_another_name_gives_the_old_one_free(store: Store) -> None:
    store.rename("s1", "default", "old")
    store.rename("s1", "default", "new")
    assert store.named("old", "default") is None
    store.rename("s2", "default", "old")
    assert (store.named("old", "default"), store.named("new", "default")) == ("s2", "s1")


def test_a_name_wanted_by_many_at_once_is_given_to_one(place: Place) -> None:
    results = together(lambda n: place.reopen().rename(f"s{n}", "default", "trip"))
    lost = [result for result in results if isinstance(result, ConflictError)]
    given = [result for result in results if isinstance(result, dict)]
    assert (len(given), len(lost)) == (1, THREADS - 1)


def test_a_prefix_finds_generated_ids_only(store: Store) -> None:
    generated = "3f2a0000-1111-4222-8333-444444444444"
    for session in (generated, "3f2a-mine", "other"):
        add_run(store.session(session, "default"), "r1")
    assert store.with_prefix("3f2a", "default") == [generated]
    assert store.with_prefix("othe", "default") == []


def test_the_session_that_got_a_line_last_is_the_last_used(place: Place) -> None:
    for session in ("s1", "s2", "s1"):
        add_run(place.store.session(session, "default"), new_id())
    assert place.reopen().last_used("default") == ("s1", True)


def test_a_run_in_flight_is_no_use_yet(store: Store) -> None:
    add_run(store.session("s1", "default"), "r1")
    log = store.session("s2", "default")
    flight = log.begin(intent(log, "r2"))
    assert store.last_used("default") == ("s1", True)
    flight.landed()


def test_sessions_are_listed_by_their_last_use(place: Place) -> None:
    for session in ("b", "a", "c", "b"):
        add_run(place.store.session(session, "default"), new_id())
        later(place.root)
    listed = [log.session_id for log in place.reopen().sessions("default")]
    assert listed == ["b", "c", "a"]


def test_a_list_is_not_disturbed_by_lines_that_are_written_meanwhile(store: Store) -> None:
    for session in ("s1", "s2", "s3"):
        add_run(store.session(session, "default"), "r1")
    seen = []
    for log in store.sessions("default"):
        seen.append(log.session_id)
        add_run(log, "r2")
    assert sorted(seen) == ["s1", "s2", "s3"]


def later(root: Path) -> None:
    """Return when a file written now is newer than all there are."""
    newest = max((path.stat().st_mtime_ns for path in root.rglob("*.jsonl")), default=0)
    probe = root.parent / "probe"

    def passed() -> bool:
        probe.write_bytes(b"x")
        return probe.stat().st_mtime_ns > newest

    eventually(passed)


# Attachments

IMAGE = b"\x89PNG and so on"
ITS_SHA256 = sha256(IMAGE).hexdigest()


def test_an_attachment_is_found_again_by_its_sha256_in_every_session_of_its_user(
    place: Place, log: SessionLog
) -> None:
    log.attach(IMAGE)
    log.attach(IMAGE)
    assert place.reopen().session("other", "default").attached(ITS_SHA256) == IMAGE


def test_an_attachment_of_another_user_is_not_found(store: Store, log: SessionLog) -> None:
    log.attach(IMAGE)
    assert store.session("s", "ada").attached(ITS_SHA256) is None


@pytest.mark.parametrize("name", ["", "0" * 64, "../s.jsonl", f"{ITS_SHA256}\n", ITS_SHA256[:10]])
def test_what_is_no_sha256_of_an_attachment_finds_none(log: SessionLog, name: str) -> None:
    add_run(log, "r")
    log.attach(IMAGE)
    assert log.attached(name) is None


def test_an_attachment_alone_makes_no_session(store: Store, log: SessionLog) -> None:
    log.attach(IMAGE)
    assert not log.exists()
    assert list(store.sessions("default")) == []


def test_threads_that_keep_the_same_attachment_all_find_it(log: SessionLog) -> None:
    together(lambda _: log.attach(IMAGE))
    assert log.attached(ITS_SHA256) == IMAGE
