"""Whose turn it is: what waits for a busy session, and what does not."""

from collections.abc import Iterator

import pytest

from clew.core.store import Waiting
from clew.stores.jsonl import JsonlStore
from tests.conftest import Clew


@pytest.fixture
def busy(clew: Clew, model: str) -> Iterator[Clew]:
    """A world in which session `s`, with a good run `r` and a failed run `f`, is busy."""
    clew("run", "-m", model, "-s", "s", "--run-id", "r", "one")
    clew("run", "-m", model, "-s", "s", "--run-id", "f", "unheard of", code=3)
    with JsonlStore(str(clew.home)).session("s", "default").turn("other", Waiting(0)):
        yield clew


def test_continue_waits_for_the_turn_also_without_history(busy: Clew) -> None:
    busy("continue", "-s", "s", "--no-history", "--no-wait", "two", code=75)


def test_a_failed_call_waits_for_the_turn_to_go_on(busy: Clew, model: str) -> None:
    call = ["run", "-m", model, "-s", "s", "--run-id", "f", "--no-wait", "unheard of"]
    busy(*call, code=75)
    assert len(busy.stored("s")) == 2


def test_a_call_that_had_been_made_is_told_without_waiting(busy: Clew, model: str) -> None:
    call = ["run", "-m", model, "-s", "s", "--run-id", "r", "--no-wait", "one"]
    assert busy(*call).out == "answer one\n"


def test_a_dry_run_waits_for_nobody(busy: Clew) -> None:
    shown = busy("continue", "-s", "s", "--no-wait", "--dry-run", "two").json
    assert shown["history"]["runs"] == 1
