"""What a run does with a model that fails, goes on too long, or stops half-way."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from clew.core import Agent
from clew.core.errors import ModelError, ProviderDown, RateLimited, RequestRefused
from clew.core.events import Event
from clew.core.limits import Limits
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.result import RunOutput
from clew.core.usage import Usage, no_usage

Say = Callable[[str], None]
USAGE: Usage = {**no_usage(), "input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


@dataclass
class Scripted:
    """A model of which each request says these pieces and then, where there is one, fails."""

    script: list[tuple[list[str], ModelError | None]]
    price: Price | None = None
    name = "test/scripted"
    window = None
    takes_schema = True
    asked: list[float] = field(default_factory=list)

    def ask(self, request: ModelRequest, on_text: Say) -> ModelReply:
        pieces, error = self.script[min(len(self.asked), len(self.script) - 1)]
        self.asked.append(time.monotonic())
        for piece in pieces:
            on_text(piece)
        if error is not None:
            raise error
        return ModelReply("stop", USAGE, self.name)


@dataclass
class Silent(Scripted):
    """One that says nothing until somebody lets it."""

    begun: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def ask(self, request: ModelRequest, on_text: Say) -> ModelReply:
        self.begun.set()
        self.gate.wait(100)
        return super().ask(request, on_text)


@dataclass
class Watched:
    """How a run ended, what it told, and the model that it asked."""

    run: RunOutput
    events: list[Event]
    model: Scripted

    def told(self, name: str) -> list[Event]:
        return [event for event in self.events if event["event"] == name]


def watch(model: Scripted, **limits: Any) -> Watched:
    events: list[Event] = []
    agent = Agent(model=model, limits=Limits(**limits))
    return Watched(agent.run("hi", on_event=events.append), events, model)


def test_a_failure_that_may_pass_is_tried_again_after_the_pause_that_is_told() -> None:
    seen = watch(Scripted([([], ProviderDown("down")), (["hello"], None)]))
    (told,) = seen.told("ModelRequestError")
    first, second = seen.model.asked
    assert (seen.run.status, seen.run.content) == ("COMPLETED", "hello")
    assert second - first >= told["retry_in"] - 0.001


def test_each_attempt_is_recorded_with_its_error() -> None:
    details = watch(Scripted([([], ProviderDown("down")), (["hello"], None)])).run.metrics
    assert [(call["attempt"], call["error"]) for call in details["details"]] == [
        (1, "provider"),
        (2, None),
    ]


def test_a_request_that_brought_nothing_has_used_nothing() -> None:
    metrics = watch(Scripted([([], RequestRefused("no"))])).run.metrics
    assert (metrics["requests"], metrics["total_tokens"], metrics["estimated"]) == (1, 0, False)


def test_an_answer_that_broke_off_is_counted_by_estimate() -> None:
    model = Scripted([(["half an answer"], ProviderDown("down"))], Price(1.0, 1.0))
    metrics = watch(model).run.metrics
    assert metrics["estimated"] and metrics["output_tokens"] > 0
    assert metrics["cost"] == metrics["total_tokens"]


def out_of_time(model: Silent) -> RunOutput:
    """Run until the time is up: with more of it, where the model was not asked by then."""
    for seconds in (0.5, 5.0, 50.0):
        run = watch(model, seconds=seconds).run
        if model.begun.is_set():
            return run
    pytest.fail("the model was never asked")


def test_a_request_that_was_given_up_before_anything_came_is_counted_by_estimate() -> None:
    model = Silent([([], None)], Price(1.0, 1.0))
    run = out_of_time(model)
    model.gate.set()
    assert (run.exit_code, run.metrics["estimated"], run.metrics["output_tokens"]) == (5, True, 0)
    assert run.metrics["cost"] == run.metrics["input_tokens"] > 0


def test_a_refusal_is_not_tried_again() -> None:
    seen = watch(Scripted([([], RequestRefused("no"))]), retries=2)
    assert (seen.run.exit_code, len(seen.model.asked)) == (1, 1)


def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    seen = watch(Scripted([(["half"], ProviderDown("down")), (["whole"], None)]))
    assert (seen.run.status, seen.run.content, len(seen.model.asked)) == ("ERROR", "half", 1)


@pytest.mark.parametrize("retries", [0, 1])
def test_no_more_retries_are_made_than_allowed(retries: int) -> None:
    seen = watch(Scripted([([], ProviderDown("down"))]), retries=retries)
    assert (seen.run.exit_code, len(seen.model.asked)) == (69, retries + 1)


def test_the_pause_is_at_least_what_the_provider_asks_for() -> None:
    busy = RateLimited("slow down", retry_after=1.0)
    (told,) = watch(Scripted([([], busy), (["hello"], None)])).told("ModelRequestError")
    assert told["retry_in"] >= 1.0


def test_a_pause_of_minutes_is_not_waited_for() -> None:
    seen = watch(Scripted([([], RateLimited("slow down", retry_after=61.0)), (["hello"], None)]))
    assert (seen.run.exit_code, seen.told("ModelRequestError")) == (75, [])


def test_a_pause_that_ends_after_the_time_limit_is_not_waited_for() -> None:
    busy = RateLimited("slow down", retry_after=40.0)
    seen = watch(Scripted([([], busy), (["hello"], None)]), seconds=30.0)
    assert (seen.run.exit_code, seen.told("ModelRequestError")) == (75, [])


def test_pieces_that_came_after_the_time_limit_are_not_taken() -> None:
    def slow(event: Event) -> None:
        if event["event"] == "RunContent":
            time.sleep(0.6)

    agent = Agent(model=Scripted([(["a", "b"], None)]), limits=Limits(seconds=0.5))
    run = agent.run("hi", on_event=slow)
    assert (run.status, run.exit_code) == ("ERROR", 5)
    assert "b" not in run.content


def test_an_answer_is_stopped_when_its_tokens_reach_the_limit() -> None:
    run = watch(Scripted([(["word " * 10] * 20, None)]), tokens=100).run
    assert (run.status, run.exit_code) == ("ERROR", 5)
    assert 0 < len(run.content) < 20 * 50


def test_a_question_that_costs_too_much_is_not_asked() -> None:
    seen = watch(Scripted([(["hello"], None)], Price(1.0, 0.0)), cost=0.5)
    assert (seen.run.exit_code, seen.model.asked) == (5, [])


def test_an_answer_is_stopped_when_its_cost_reaches_the_limit() -> None:
    run = watch(Scripted([(["word " * 10] * 20, None)], Price(0.0, 1.0)), cost=100).run
    assert (run.status, run.exit_code) == ("ERROR", 5)
    assert 0 < len(run.content) < 20 * 50


def test_half_characters_of_an_answer_are_stored_as_u_fffd() -> None:
    assert watch(Scripted([(["a\ud800b"], None)])).run.content == "a\ufffdb"


def test_an_empty_piece_is_no_event_and_no_first_token() -> None:
    seen = watch(Scripted([(["", ""], None)]))
    assert seen.told("RunContent") == []
    assert seen.run.metrics["time_to_first_token"] is None
