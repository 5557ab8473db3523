"""Looking back, from Python."""

import json
from pathlib import Path

import pytest

from clew.core import Agent
from clew.core.past import Past, ReadChatHistory, SearchPastSessions
from clew.core.records import ToolRecord
from clew.core.tools import RunContext
from clew.stores.memory import MemoryStore
from tests.toolcalls import call, record


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent that looks back when it is asked `go`, and answers `hi` and `no` with `done`."""
    path = tmp_path / "calls.jsonl"
    record(path, [call("read_chat_history", "c1"), call("search_past_sessions", "c2")])
    record(path, prompt="hi")
    model = record(path, prompt="no")
    return Agent(model=model, read_chat_history=True, search_past_sessions=True)


def read(results: list[ToolRecord]) -> list[list[str]]:
    """The inputs that each call gave."""
    return [[turn["input"] for turn in json.loads(one["result"])["runs"]] for one in results]


def test_a_model_looks_back_in_a_store_of_this_process(agent: Agent) -> None:
    store = MemoryStore()
    agent.run("hi", session_id="s", store=store)
    agent.run("no", session_id="t", store=store)
    agent.run("no", session_id="s", user_id="bob", store=store)
    run = agent.run("go", session_id="s", store=store)
    assert read(run.line["tools"]) == [["hi"], ["no"]]


def test_without_a_store_there_is_nothing_to_look_back_on(agent: Agent) -> None:
    run = agent.run("go", session_id="s")
    assert read(run.line["tools"]) == [[], []]
    assert [one["tool_call_error"] for one in run.line["tools"]] == [False, False]


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_who_is_stopped_or_has_no_time_looks_no_further_and_says_so(
    agent: Agent, seconds: float | None
) -> None:
    store = MemoryStore()
    agent.run("hi", session_id="s", store=store)
    past = Past(store.session("s", "default"), store)
    context = RunContext("r", "t", "default", {}, seconds=seconds)
    for tool in (ReadChatHistory(past), SearchPastSessions(past, 5, 5)):
        if seconds is None:
            assert len(json.loads(tool.call({}, context))["runs"]) == 1
            tool.stop()
        found = json.loads(tool.call({}, context))
        assert found == {"runs": [], "note": "There was no time to look at more."}
