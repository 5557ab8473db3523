"""Which run is meant by going on, and what it hands on."""

from typing import Any

import pytest

from clew.core.chain import follow, resumable, unfinished
from clew.core.errors import NotFoundError, UsageError
from clew.core.inherit import inherited
from clew.core.session import Draft, always
from clew.core.store import SessionLog
from clew.stores.memory import MemoryStore
from tests.stores.made import intent, run_draft


@pytest.fixture
def log() -> SessionLog:
    return MemoryStore().session("s", "default")


def add(log: SessionLog, run_id: str, **fields: Any) -> None:
    made = run_draft(run_id)
    log.append(always(Draft(made.type, made.fields | fields, made.change)))


def test_a_members_run_is_not_what_is_gone_on_with(log: SessionLog) -> None:
    add(log, "top")
    add(log, "member", status="ERROR", parent_run_id="top", root_run_id="top")
    with pytest.raises(UsageError) as refused:
        resumable(log, "member")
    assert refused.value.hint == "go on with that: --resume=top"
    with pytest.raises(NotFoundError):
        unfinished(log)


def test_a_members_model_is_not_inherited(log: SessionLog) -> None:
    add(log, "top", model="replay:leader")
    add(log, "member", model="replay:member", parent_run_id="top")
    assert inherited(log, None)["model"] == "replay:leader"


def test_the_newest_of_those_that_went_on_is_the_tip(log: SessionLog) -> None:
    add(log, "first", status="ERROR")
    add(log, "second", status="ERROR", resumes="first")
    add(log, "third", resumes="first")
    chain = follow(log, "first")
    assert chain is not None
    assert chain.tip["run_id"] == "third"


def test_of_several_dead_runs_the_newest_is_gone_on_with(log: SessionLog) -> None:
    for run_id in ("older", "newer"):
        log.begin(intent(log, run_id)).stranded()
    assert resumable(log, None) == "newer"


def test_a_run_under_way_does_not_hide_one_that_failed(log: SessionLog) -> None:
    add(log, "failed", status="ERROR")
    flight = log.begin(intent(log, "busy"))
    assert resumable(log, None) == "failed"
    flight.landed()
