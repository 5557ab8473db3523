"""Long loops, in Python: the line stays bounded, and nothing of what they did is lost."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.core.invocation import Invocation
from clew.core.lines import RunLine
from clew.core.records import MovedRecord, StepRecord
from clew.core.steps import Loop, Step, StepInput
from clew.core.store import SessionLog, Store
from clew.core.workflow import Workflow
from clew.stores import JsonlStore
from tests.workflows import content, step, wrong_with

MANY = 2_000
LONG = 420
"""Iterations: more than a line keeps, and not a round number."""


@pytest.fixture
def store(tmp_path: Path) -> JsonlStore:
    return JsonlStore(str(tmp_path / "home"))


def count(given: StepInput) -> str:
    given.session_state["n"] = n = given.session_state.get("n", 0) + 1
    return str(n)


def loop_of(times: int, **more: Any) -> Loop:
    return Loop([Step(count, name="count")], name="l", max_iterations=times, **more)


def moved(log: SessionLog, record: MovedRecord | None) -> Iterator[StepRecord]:
    """Yield the iterations that are kept beside the line, oldest first."""
    if record is None:
        return
    raw = log.attached(record["sha256"])
    assert raw is not None
    before, *rows = map(json.loads, raw.splitlines())
    yield from moved(log, before)
    assert record["count"] == (before["count"] if before else 0) + len(rows)
    yield from rows


def all_of(store: Store, line: RunLine) -> list[str]:
    """What all iterations of the loop have come to, those beside the line first."""
    record = step(line, "l")
    log = store.session("s", "default")
    iterations = [*moved(log, record.get("moved")), *record["steps"]]
    assert [each["id"] for each in iterations] == [f"l/{n + 1}" for n in range(len(iterations))]
    return [each["steps"][0]["content"] for each in iterations]


def test_the_older_iterations_of_a_long_loop_are_kept_beside_the_line(store: JsonlStore) -> None:
    line = Workflow(steps=[loop_of(LONG)], name="w").run("go", session_id="s", store=store).line
    record = step(line, "l")
    assert (record["iterations"], line["content"]) == (LONG, str(LONG))
    assert 100 <= len(record["steps"]) < 200
    assert all_of(store, line) == [str(n + 1) for n in range(LONG)]
    assert wrong_with(store) == []


def test_a_long_loop_that_failed_goes_on_where_it_was(store: JsonlStore, tmp_path: Path) -> None:
    better = tmp_path / "better"

    def needs(given: StepInput) -> str:
        assert given.content != "333" or better.exists()
        return given.content

    loop = Loop([Step(count, name="count"), Step(needs)], name="l", max_iterations=LONG)
    workflow = Workflow(steps=[loop, content], name="w")
    before = workflow.run("go", session_id="s", store=store).line
    assert (before["status"], step(before, "l")["iterations"]) == ("ERROR", 332)
    better.touch()
    how = Invocation(store=store, session_id="s", resume=before["run_id"])
    line = workflow.invoke("", how).line
    assert (line["status"], line["content"]) == ("COMPLETED", str(LONG))
    assert line["session_state"] == {"n": LONG}
    assert all_of(store, line) == [str(n + 1) for n in range(LONG)]
    assert wrong_with(store) == []


@pytest.mark.slow
def test_the_memory_and_the_line_of_a_loop_do_not_grow_with_its_iterations(
    store: JsonlStore,
) -> None:
    peaks: list[int] = []

    def measured(given: StepInput) -> str:
        n = int(count(given))
        if n in (MANY // 10, MANY):
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
        return str(n)

    loop = Loop([Step(measured, name="count")], name="l", max_iterations=MANY)
    tracemalloc.start()
    try:
        line = Workflow(steps=[loop], name="w").run("go", session_id="s", store=store).line
    finally:
        tracemalloc.stop()
    first, later = peaks
    assert later < first * 1.5
    assert step(line, "l")["iterations"] == MANY
    assert len(json.dumps(line)) < 200_000
    assert len(all_of(store, line)) == MANY
