"""What a model is asked about a session, as a program has it asked."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pytest

from clew.core import Agent
from clew.core.errors import BusyError, ConflictError
from clew.core.limits import Limits
from clew.core.lines import SessionLine
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.session import always
from clew.core.store import Flight, SessionLog, Store
from clew.core.upkeep import Job, left_of, name_session, summarize
from clew.core.usage import no_totals, no_usage
from clew.stores import JsonlStore
from tests.stores.made import add_run, job_draft


class Scripted:
    """Says always the same, after it did something."""

    name = "scripted"
    window: int | None = None
    price = Price(0.0, 0.0)
    takes_schema = False

    def __init__(self, text: str = "In short.", first: Callable[[], Any] = lambda: None) -> None:
        self.text = text
        self.first = first
        self.asked = 0

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        self.asked += 1
        self.first()
        on_text(self.text)
        return ModelReply("stop", no_usage(), self.name)


@pytest.fixture
def log(store: Store) -> SessionLog:
    log = store.session("s", "default")
    add_run(log, "r1")
    return log


def test_a_summary_never_takes_the_place_of_a_newer_one(log: SessionLog) -> None:
    def somebody_else() -> None:
        add_run(log, "r2")
        log.append(always(job_draft("j1", "Newer.", covered=2)))

    with pytest.raises(ConflictError):
        summarize(log, Job(Scripted("Older.", somebody_else)))
    newer, older = list(log.lines())[-2:]
    assert newer["type"] == older["type"] == "session"
    assert (newer["summary"], older["summary"]) == ("Newer.", None)
    assert older["session_metrics"]["summary_seq"] == newer["seq"]
    assert older["session_metrics"]["requests"] == newer["session_metrics"]["requests"] + 1


def test_a_session_that_is_taken_away_meanwhile_is_not_brought_back(tmp_path: Any) -> None:
    log = JsonlStore(str(tmp_path / "home")).session("s", "default")
    add_run(log, "r1")
    assert summarize(log, Job(Scripted(first=Path(log.location).unlink))) is None
    assert not log.exists()


def test_two_that_want_a_summary_at_once_ask_for_one(log: SessionLog) -> None:
    begun, going_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        going_on.wait(60)

    first = Scripted(first=wait)
    thread = threading.Thread(target=summarize, args=(log, Job(first)))
    thread.start()
    assert begun.wait(60)
    second = Scripted()
    with pytest.raises(BusyError):
        summarize(log, Job(second))
    going_on.set()
    thread.join(60)
    assert summarize(log, Job(second)) is None
    assert (first.asked, second.asked) == (1, 0)


class Late:
    """A session in which somebody else makes a summary just before it is our turn to."""

    def __init__(self, log: SessionLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def job(self, intent: SessionLine) -> AbstractContextManager[Flight]:
        summarize(self._log, Job(Scripted()))
        return self._log.job(intent)


def test_who_comes_late_asks_for_no_summary_of_the_same(log: SessionLog) -> None:
    late = Scripted()
    assert summarize(cast(SessionLog, Late(log)), Job(late)) is None
    assert late.asked == 0
    assert [line["type"] for line in log.lines()] == ["run", "session"]


def test_a_name_that_is_given_meanwhile_stands(store: Store, log: SessionLog) -> None:
    namer = Scripted("Found", lambda: store.rename("s", "default", "given"))
    line, error = name_session(store, log, Job(namer), unless_named=True)
    assert (line and line["name"], error) == (None, None)
    assert store.name_of("s", "default") == "given"
    last = log.last()
    assert last is not None
    assert last["session_metrics"]["requests"] == 2


def test_a_run_from_python_is_summed_up_and_tells_what_did_not_come_of_it(store: Store) -> None:
    agent = Agent(
        model=Scripted(), enable_session_summaries=True, summary_tokens=1, summary_model="replay:no"
    )
    words: list[str] = []
    run = agent.run(
        "hi", session_id="s", store=store, on_event=lambda event: words.append(event["event"])
    )
    assert (run.status, words[-1]) == ("COMPLETED", "RunCompleted")
    assert len(run.warnings) == 1
    well = Agent(model=Scripted(), enable_session_summaries=True, summary_tokens=1)
    run = well.run(
        "hi", session_id="s", store=store, on_event=lambda event: words.append(event["event"])
    )
    assert run.warnings == ()
    assert words[-2:] == ["SessionSummaryCompleted", "RunCompleted"]
    last = store.session("s", "default").last()
    assert last is not None
    assert last["type"] == "session"
    assert last["summary"] == "In short."


def test_what_is_left_of_limits_is_never_less_than_nothing() -> None:
    used = no_totals() | {"total_tokens": 7, "cost": 0.5, "duration": 3.0}
    rest = left_of(Limits(seconds=5, tokens=5, cost=2, turns=1), used)
    assert (rest.seconds, rest.tokens, rest.cost, rest.turns) == (2.0, 0, 1.5, 1)
    assert left_of(Limits(), used) == Limits()
