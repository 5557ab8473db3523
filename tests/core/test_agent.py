"""The Python API."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent
from clew.core.errors import ClewError, ConflictError, ProviderDown, UsageError
from clew.core.invocation import Invocation
from clew.core.limits import Limits
from clew.core.model import ModelReply, ModelRequest
from clew.stores.memory import MemoryStore


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    path = tmp_path / "recording.jsonl"
    path.write_text(json.dumps({"input": "hi", "content": "hello"}))
    return Agent(model=f"replay:{path}")


def test_two_runs_of_a_session_do_not_see_each_other_without_history(agent: Agent) -> None:
    store = MemoryStore()
    agent.run("hi", session_id="s", store=store)
    second = agent.run("hi", session_id="s", store=store)
    assert second.content == "hello"
    assert second.line["history"]["runs"] == 0
    assert second.line["seq"] == 2


def test_the_second_run_sees_the_first_with_history(agent: Agent) -> None:
    store = MemoryStore()
    agent.run("hi", session_id="s", store=store)
    second = agent.run("hi", session_id="s", store=store, add_history_to_context=True)
    assert second.line["history"]["runs"] == 1


def test_without_a_store_a_run_has_both_ids_and_nothing_is_kept(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_HOME", str(tmp_path / "home"))
    run = agent.run("hi")
    assert run.run_id and run.session_id
    assert run.line["seq"] is None
    assert not (tmp_path / "home").exists()


def test_a_failed_run_is_returned_and_raises_when_asked(agent: Agent) -> None:
    store = MemoryStore()
    run = agent.run("unheard of", session_id="s", store=store)
    assert (run.status, run.exit_code, run.line["seq"]) == ("ERROR", 3, 1)
    with pytest.raises(ClewError, match="unheard of") as caught:
        run.raise_for_status()
    assert caught.value.exit_code == 3


def test_a_good_run_passes_its_check(agent: Agent) -> None:
    run = agent.run("hi")
    assert run.raise_for_status() is run


@pytest.mark.parametrize("session", ["", "A", "../x"])
def test_a_bad_session_id_is_refused(agent: Agent, session: str) -> None:
    with pytest.raises(UsageError):
        agent.run("hi", session_id=session)


class Breaking:
    """A model whose answers break off; it remembers what it was sent."""

    name, takes_schema, window, price = "breaking", True, None, None

    def __init__(self) -> None:
        self.sent: list[list[str]] = []

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        self.sent.append([str(message["content"]) for message in request.messages])
        on_text(f"part {len(self.sent)}")
        raise ProviderDown("broken off")


def test_only_the_answer_that_broke_off_last_is_asked_for_again() -> None:
    model, store = Breaking(), MemoryStore()
    agent = Agent(model=model, limits=Limits(retries=0))
    run = agent.run("first", session_id="s", store=store)
    for prompt in ("second", ""):
        how = Invocation(store=store, session_id="s", resume=run.run_id)
        run = agent.invoke(prompt, how)
    assert model.sent == [["first"], ["first", "part 1", "second"], ["first", "part 1", "second"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": ""},
        {"user_id": "a\nb"},
        {"run_id": ""},
        {"run_id": "a\nb"},
        {"session_state": {"a": float("nan")}},
        {"files": ["a\0b"]},
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused(agent: Agent, wrong: dict[str, Any]) -> None:
    store = MemoryStore()
    with pytest.raises(UsageError):
        agent.run("hi", session_id="s", store=store, **wrong)
    assert not store.session("s", "default").exists()


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_refused(agent: Agent, prompt: str) -> None:
    with pytest.raises(UsageError, match="prompt is empty"):
        agent.run(prompt)


def test_an_option_that_no_json_carries_is_refused(agent: Agent) -> None:
    with pytest.raises(UsageError):
        replace(agent, options={"temperature": float("inf")}).run("hi")


def test_half_characters_are_sent_as_u_fffd(agent: Agent) -> None:
    run = replace(agent, system="b\ud800").run("a\ud800")
    assert [message["content"] for message in run.messages] == ["b\ufffd", "a\ufffd"]


def test_a_run_id_belongs_to_what_was_run(agent: Agent) -> None:
    store = MemoryStore()
    agent.run("hi", session_id="s", run_id="r", store=store)
    with pytest.raises(ConflictError):
        replace(agent, name="other").run("hi", session_id="s", run_id="r", store=store)


def test_a_run_that_ends_meanwhile_does_not_push_the_oldest_turn_out_of_the_history(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    for _ in range(2):
        agent.run("hi", session_id="s", store=store)
    log = store.session("s", "default")
    look = log.last

    def last() -> Any:
        found = look()
        monkeypatch.undo()
        agent.run("hi", session_id="s", store=store)
        return found

    monkeypatch.setattr(log, "last", last)
    line = agent.run("hi", session_id="s", store=store, add_history_to_context=True).line
    assert line["history"] == {"runs": 3, "first_seq": 1, "last_seq": 3, "left_out": 0}
