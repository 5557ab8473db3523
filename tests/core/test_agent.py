"""The Python API."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clew.core import Agent
from clew.core.agent import Invocation
from clew.core.errors import ClewError, ProviderDown, UsageError
from clew.core.exchange import Limits
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
