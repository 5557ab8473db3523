"""Ends that nobody planned: a stop, a bug, a store that does not take the line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clew.core import Agent
from clew.core.errors import LimitReached, NotFoundError, StoreError
from clew.core.events import Event
from clew.core.invocation import Invocation
from clew.core.limits import Limits
from clew.core.model import ModelReply, ModelRequest
from clew.core.session import StateChange, always
from clew.core.usage import Usage, no_usage
from clew.stores import JsonlStore
from tests.stores.made import intent, state_line

USAGE: Usage = {**no_usage(), "input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


@dataclass
class Doing:
    """A model that does something in the middle of its answer."""

    do: Callable[[], object]
    name = "test/doing"
    window = None
    price = None
    takes_schema = True

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        on_text("once ")
        self.do()
        on_text("more")
        return ModelReply("stop", USAGE, self.name)


@pytest.fixture
def store(tmp_path: Path) -> JsonlStore:
    return JsonlStore(str(tmp_path / "home"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the lines of session `s` are."""
    return tmp_path / "home" / "users" / "default" / "s.jsonl"


def harmless() -> Agent:
    return Agent(model=Doing(lambda: None))


def stop() -> None:
    raise KeyboardInterrupt


def break_down() -> None:
    raise RuntimeError("a bug")


def test_a_run_that_is_interrupted_is_stored_with_what_came(store: JsonlStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        Agent(model=Doing(stop)).run("hi", session_id="s", store=store)
    (line,) = store.session("s", "default").lines()
    assert line["type"] == "run"
    assert (line["status"], line["exit_code"], line["content"]) == ("CANCELLED", 130, "once ")
    assert store.session("s", "default").in_flight() == []


def test_what_came_before_a_bug_is_kept(store: JsonlStore) -> None:
    with pytest.raises(RuntimeError):
        Agent(model=Doing(break_down)).run("hi", session_id="s", store=store)
    (found,) = harmless().run("hi", session_id="s", store=store).recovered
    assert (found["status"], found["content"]) == ("INTERRUPTED", "once ")
    assert found["metrics"]["requests"] == 1 and found["metrics"]["estimated"]


def test_what_a_finished_answer_used_is_known_although_the_run_died(store: JsonlStore) -> None:
    def die(event: Event) -> None:
        if event["event"] == "ModelRequestCompleted":
            break_down()

    with pytest.raises(RuntimeError):
        harmless().run("hi", session_id="s", store=store, on_event=die)
    (found,) = harmless().run("hi", session_id="s", store=store).recovered
    assert (found["metrics"]["total_tokens"], found["metrics"]["estimated"]) == (7, False)


def test_a_run_that_is_stored_is_no_longer_on_record(store: JsonlStore, path: Path) -> None:
    harmless().run("hi", session_id="s", store=store)
    assert list(path.parent.rglob("*.part")) == []


def test_a_run_that_could_not_be_stored_says_so_and_comes_back(
    store: JsonlStore, path: Path
) -> None:
    run = Agent(model=Doing(path.mkdir)).run("hi", session_id="s", store=store)
    assert (run.exit_code, run.line["seq"], run.content) == (74, None, "once more")
    with pytest.raises(StoreError):
        run.raise_for_status()
    path.rmdir()
    (found,) = harmless().run("hi", session_id="s", store=store).recovered
    assert (found["status"], found["content"]) == ("INTERRUPTED", "once more")


def test_a_session_that_is_damaged_while_the_model_answers_is_exit_74(
    store: JsonlStore, path: Path
) -> None:
    def damage() -> None:
        path.write_bytes(b"no line\n")

    run = Agent(model=Doing(damage)).run("hi", session_id="s", store=store)
    assert (run.exit_code, run.content) == (74, "once more")
    assert path.read_bytes() == b"no line\n"


def test_a_state_that_is_replaced_is_so_whatever_came_meanwhile(store: JsonlStore) -> None:
    def change() -> None:
        store.session("s", "default").append(always(state_line({"b": 1})))

    how = Invocation(store=store, session_id="s", change=StateChange(replacement={"a": 1}))
    run = Agent(model=Doing(change)).invoke("hi", how)
    assert run.session_state == {"a": 1}


def test_a_run_under_way_is_never_gone_on_with(store: JsonlStore) -> None:
    log = store.session("s", "default")
    flight = log.begin(intent(log, "busy"))
    with pytest.raises(NotFoundError, match="busy"):
        harmless().invoke("", Invocation(store=store, session_id="s", resume="busy"))
    flight.landed()


def test_the_error_that_is_raised_is_that_of_the_run() -> None:
    agent = Agent(model=Doing(lambda: None), limits=Limits(tokens=1))
    with pytest.raises(LimitReached):
        agent.run("hi").raise_for_status()
