"""Fallback models: who is asked when the first is not to be had, and when nobody else is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from clew.core import Agent
from clew.core.errors import (
    ConfigError,
    ModelError,
    NotAllowed,
    ProviderDown,
    RateLimited,
    RequestRefused,
)
from clew.core.events import Event
from clew.core.invocation import Invocation
from clew.core.limits import Limits
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.result import RunOutput
from clew.core.tools import Tool
from clew.core.usage import Usage, no_usage
from clew.stores import MemoryStore

USAGE: Usage = {**no_usage(), "input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
DOWN = ProviderDown("down", retry_after=0.0)
SLOW = RateLimited("slow down", retry_after=61.0)
CALL: Any = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@dataclass
class Scripted:
    """A model whose requests end so, one after the other: an error, words before one, an answer."""

    name: str
    ends: list[Any]
    price: Price | None = None
    window: int | None = None
    takes_schema: bool = True
    asked: list[ModelRequest] = field(default_factory=list)

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        end = self.ends[min(len(self.asked), len(self.ends) - 1)]
        self.asked.append(request)
        if isinstance(end, ModelError):
            raise end
        if isinstance(end, tuple):
            on_text(end[0])
            raise end[1]
        if isinstance(end, list):
            return ModelReply("tool_calls", USAGE, self.name, tuple(end))
        on_text(end)
        return ModelReply("stop", USAGE, f"{self.name}-1")


def run(*models: Scripted, **more: Any) -> tuple[RunOutput, list[Event]]:
    events: list[Event] = []
    limits = Limits(**{"retries": 0} | more.pop("limits", {}))
    agent = Agent(model=models[0], fallback_models=models[1:], limits=limits, **more)
    return agent.run("hi", on_event=events.append), events


def attempts(output: RunOutput) -> list[tuple[str, int, str | None]]:
    details = output.metrics["details"]
    return [(call["model"], call["attempt"], call["error"]) for call in details]


@pytest.mark.parametrize("error", [DOWN, SLOW], ids=["down", "rate limit"])
def test_the_next_model_answers_when_the_first_is_not_to_be_had(error: ModelError) -> None:
    output, _ = run(Scripted("a", [error]), Scripted("b", ["hello"]))
    assert (output.status, output.content, output.exit_code) == ("COMPLETED", "hello", 0)


def test_the_line_tells_which_model_was_asked_for_and_which_answered() -> None:
    output, _ = run(Scripted("a", [DOWN]), Scripted("b", ["hello"]))
    assert (output.line["model"], output.line["resolved_model"]) == ("a", "b-1")
    assert output.line["options"]["fallback_models"] == ["b"]


def test_each_attempt_is_recorded_with_its_model() -> None:
    output, _ = run(
        Scripted("a", [DOWN]), Scripted("b", [DOWN]), Scripted("c", ["hi"]), limits={"retries": 1}
    )
    assert attempts(output) == [
        ("a", 1, "provider"),
        ("a", 2, "provider"),
        ("b", 1, "provider"),
        ("b", 2, "provider"),
        ("c", 1, None),
    ]


def test_a_fallback_is_told_in_an_event_with_its_reason() -> None:
    _, events = run(Scripted("a", [DOWN]), Scripted("b", ["hello"]))
    (told,) = [event for event in events if event["event"] == "FallbackModelActivated"]
    assert (told["model"], told["error"]["kind"]) == ("b", "provider")


@pytest.mark.parametrize("error", [NotAllowed("no key"), RequestRefused("no")])
def test_a_refused_key_or_request_is_not_worked_around(error: ModelError) -> None:
    second = Scripted("b", ["hello"])
    output, _ = run(Scripted("a", [error]), second)
    assert (output.exit_code, second.asked) == (error.exit_code, [])


def test_nobody_else_is_asked_after_the_first_words_of_an_answer() -> None:
    second = Scripted("b", ["hello"])
    output, _ = run(Scripted("a", [("half", DOWN)]), second)
    assert (output.exit_code, output.content, second.asked) == (69, "half", [])


def test_when_all_fail_the_run_ends_as_the_last_one_did() -> None:
    output, _ = run(Scripted("a", [DOWN]), Scripted("b", [SLOW]))
    assert (output.status, output.exit_code) == ("ERROR", 75)


def test_a_model_that_answers_has_no_fallback() -> None:
    second = Scripted("b", ["other"])
    output, events = run(Scripted("a", ["hello"]), second)
    assert (output.content, second.asked) == ("hello", [])
    assert "FallbackModelActivated" not in {event["event"] for event in events}


def test_the_rest_of_a_run_stays_with_the_model_that_answered() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    tools: list[Tool | Callable[..., Any]] = [look]
    first, second = Scripted("a", [DOWN]), Scripted("b", [[CALL], "done"])
    output, _ = run(first, second, tools=tools)
    assert (output.content, len(first.asked), len(second.asked)) == ("done", 1, 2)


def test_a_cost_limit_needs_the_price_of_every_model() -> None:
    first = Scripted("a", ["hello"], Price(0.0, 0.0))
    with pytest.raises(ConfigError, match="'b'"):
        run(first, Scripted("b", ["hello"]), limits={"cost": 1.0})
    assert first.asked == []


def test_the_cost_limit_counts_what_the_model_costs_that_is_asked() -> None:
    dear = Scripted("b", ["hello"], Price(1.0, 1.0))
    output, _ = run(Scripted("a", [DOWN], Price(0.0, 0.0)), dear, limits={"cost": 0.5})
    assert (output.exit_code, dear.asked) == (5, [])


def test_a_model_that_takes_no_schema_is_told_it_and_the_other_is_held_to_it() -> None:
    first = Scripted("a", [DOWN])
    second = Scripted("b", ['{"n": 1}'], takes_schema=False)
    schema = {"type": "object", "required": ["n"]}
    output, _ = run(first, second, output_schema=schema)
    assert output.data == {"n": 1}
    assert (first.asked[0].schema, second.asked[0].schema) == (schema, None)
    assert '"required": ["n"]' in second.asked[0].messages[0]["content"]


def test_history_fits_the_smallest_window() -> None:
    store = MemoryStore()
    for _ in range(4):
        asked = "word " * 300
        Agent(model=Scripted("a", ["hello"])).run(asked, session_id="s", store=store)
    models = [Scripted("a", ["x"], window=100_000), Scripted("b", ["x"], window=1000)]
    agent = Agent(model=models[0], fallback_models=models[1:], add_history_to_context=True)
    assert agent.run("hi", session_id="s", store=store).line["history"]["left_out"] > 0


def test_the_time_limit_holds_for_all_models_together() -> None:
    late = Scripted("b", ["hello"])
    busy = RateLimited("slow down", retry_after=1.0)
    output, _ = run(Scripted("a", [busy]), late, limits={"seconds": 0.0})
    assert (output.exit_code, late.asked) == (5, [])


def test_a_fallback_by_name_is_looked_for_before_anything_is_asked(tmp_path: Any) -> None:
    from clew.core.errors import NotFoundError

    first = Scripted("a", ["hello"])
    agent = Agent(model=first, fallback_models=[f"replay:{tmp_path}/none.jsonl"])
    with pytest.raises(NotFoundError):
        agent.invoke("hi", Invocation())
    assert first.asked == []
