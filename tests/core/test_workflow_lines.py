"""The lines of workflows: what is wrong with their steps is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent
from clew.core.errors import DamagedError
from clew.core.lines import decode
from clew.core.steps import Loop, Parallel, Step, Steps
from clew.core.workflow import Workflow
from clew.stores import JsonlStore
from clew.stores.verify import verify
from tests.workflows import Told, adds, says, sh, wrong_with

Json = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> JsonlStore:
    """A session of one workflow of steps of all kinds."""
    store = JsonlStore(str(tmp_path / "home"))
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    steps: list[Any] = [
        Step(Agent(Told(), name="a")),
        Loop([Steps([Step(adds("n"), name="count")], name="g")], name="l", max_iterations=260),
        Step(sh("echo", files=[str(picture)]), name="leaves"),
        Parallel([Step(says("x"), name="x")], name="p"),
    ]
    line = Workflow(name="w", steps=steps).run("go", session_id="s", store=store).line
    assert (line["status"], wrong_with(store)) == ("COMPLETED", [])
    return store


def spoil(store: JsonlStore, change: Callable[[list[Json]], object]) -> bytes:
    """Change the steps of the last line, and return it."""
    path = Path(store.session("s", "default").location)
    *before, last = path.read_bytes().splitlines(keepends=True)
    line = json.loads(last)
    change(line["steps"])
    spoilt = json.dumps(line).encode() + b"\n"
    path.write_bytes(b"".join([*before, spoilt]))
    return spoilt


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: steps[0].pop("status"),
        lambda steps: steps[0].update(attempts="1"),
        lambda steps: steps[0].update(metrics={}),
        lambda steps: steps[1].update(moved={"count": 3}),
        lambda steps: steps[1].update(steps={}),
        lambda steps: steps[1]["steps"][7].pop("content"),
        lambda steps: steps[1]["steps"][7]["steps"][0]["steps"][0].update(files=[{}]),
        lambda steps: steps.append("text"),
    ],
)
def test_a_step_that_is_none_however_deep_it_stands_is_damage(
    store: JsonlStore, change: Callable[[list[Json]], object]
) -> None:
    with pytest.raises(DamagedError):
        decode(spoil(store, change))
    log = store.session("s", "default")
    assert ["steps" in problem.reason for problem in verify(log)] == [True]


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: steps.append(steps[0]),
        lambda steps: steps[0].update(id="b"),
        lambda steps: steps[0].update(status="PAUSED"),
        lambda steps: steps[0].update(run_id="another"),
        lambda steps: steps[1]["steps"].pop(),
        lambda steps: steps[1]["steps"][3]["steps"][0].update(id="l/1/g"),
    ],
)
def test_steps_that_are_not_where_and_what_they_have_to_be_are_told(
    store: JsonlStore, change: Callable[[list[Json]], object]
) -> None:
    spoil(store, change)
    assert wrong_with(store) != []


@pytest.mark.parametrize("which", ["p.png", "iterations of l"])
def test_what_steps_left_beside_the_session_and_is_gone_is_told(
    store: JsonlStore, which: str
) -> None:
    log = store.session("s", "default")
    line = log.last()
    assert line is not None and line["type"] == "run"
    leaves, loop = line["steps"][2], line["steps"][1]
    key = leaves["files"][0]["sha256"] if which == "p.png" else loop["moved"]["sha256"]
    next(Path(log.location).parent.rglob(key)).unlink()
    assert [wrong for wrong in wrong_with(store) if "is gone" in wrong and which in wrong]
