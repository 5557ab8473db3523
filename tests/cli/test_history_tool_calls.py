"""Tool calls of earlier turns: how many are sent, and that what is sent is whole."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew
from tests.provider import Provider
from tests.toolcalls import call, command, record, strict

TOOL = command("cat")


@pytest.fixture
def talk(clew: Clew) -> Clew:
    """A world in which session `s` has two turns, with the calls c1 and c2, then c3 to c5."""
    path = clew.cwd.parent / "calls.jsonl"
    record(path, [call("t", "c1", n=1)], [call("t", "c2", n=2)], prompt="one", words="Let me see.")
    record(path, [call("t", "c3", n=3), call("t", "c4", n=4)], [call("t", "c5", n=5)], prompt="two")
    model = record(path, prompt="three")
    clew("run", "-q", "-m", model, "-s", "s", "-t", TOOL, "one")
    clew("continue", "-q", "-s", "s", "two")
    return clew


def ids(messages: list[Any]) -> list[str]:
    return [each["id"] for message in messages for each in message.get("tool_calls", [])]


def sent(clew: Clew, *options: str) -> tuple[list[Any], Any]:
    """What `continue` would send, and its record of the history, after a look at its shape."""
    shown = clew("continue", "-q", "-s", "s", *options, "--dry-run", "--json", "three").json
    strict(shown)
    return shown["messages"], shown["history"]


@pytest.mark.parametrize("limit", range(7))
def test_only_the_newest_tool_calls_of_the_history_are_sent_each_with_its_result(
    talk: Clew, limit: int
) -> None:
    messages, history = sent(talk, "--history-tool-calls", str(limit))
    kept = ["c1", "c2", "c3", "c4", "c5"][max(0, 5 - limit) :]
    assert ids(messages) == kept
    results = [message["content"] for message in messages if message["role"] == "tool"]
    assert results == [f'{{"n": {each[1]}}}' for each in kept]
    assert history.get("tool_calls_left_out", 0) == 5 - len(kept)
    assert (history["runs"], history["left_out"]) == (2, 0)


def test_what_was_said_in_turns_whose_calls_are_left_out_is_sent(talk: Clew) -> None:
    messages, _ = sent(talk, "--history-tool-calls", "0")
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "one"),
        ("assistant", "Let me see.\n\nLet me see.\n\ndone"),
        ("user", "two"),
        ("assistant", "done"),
        ("user", "three"),
    ]


def test_without_a_limit_all_tool_calls_are_sent_and_none_is_counted_as_left_out(
    talk: Clew,
) -> None:
    messages, history = sent(talk)
    assert ids(messages) == ["c1", "c2", "c3", "c4", "c5"]
    assert history == {"runs": 2, "first_seq": 1, "last_seq": 2, "left_out": 0}


def test_messages_and_tokens_are_counted_after_tool_calls_are_left_out(talk: Clew) -> None:
    options = ("--history-messages", "4")
    assert sent(talk, *options)[1]["runs"] == 0
    assert sent(talk, *options, "--history-tool-calls", "0")[1]["runs"] == 2


def test_the_stored_turns_keep_all_their_calls(talk: Clew) -> None:
    before = talk.stored("s")
    talk("continue", "-q", "-s", "s", "--history-tool-calls", "0", "three")
    assert talk.stored("s")[:2] == before
    assert talk("history", "-s", "s", "--json").out.count('"tool_call_id":"c1"') == 2


def test_tool_calls_that_were_left_out_are_said_and_recorded(talk: Clew) -> None:
    done = talk("continue", "-s", "s", "--history-tool-calls", "1", "--json", "three")
    assert "4 earlier tool calls not sent" in done.err
    assert done.json["history"] == {
        "runs": 2,
        "first_seq": 1,
        "last_seq": 2,
        "left_out": 0,
        "tool_calls_left_out": 4,
    }
    assert done.json["options"]["history_tool_calls"] == 1
    talk("sessions", "verify", "s")


@pytest.mark.parametrize("limit", range(6))
def test_as_sent_leaves_out_the_tool_calls_that_were_left_out(talk: Clew, limit: int) -> None:
    option = ("--history-tool-calls", str(limit))
    messages, _ = sent(talk, *option)
    run = talk("continue", "-q", "-s", "s", *option, "--json", "three").json["run_id"]
    assert talk("history", "-s", "s", f"--as-sent={run}").lines == messages


def define(clew: Clew, text: str) -> Path:
    path = clew.cwd / "helper.yaml"
    path.write_text(text)
    return path


def test_a_definition_limits_the_tool_calls_and_an_option_goes_before_it(talk: Clew) -> None:
    path = define(talk, f"max_tool_calls_from_history: 2\ntools: [{TOOL}]")
    asked = ("-m", f"replay:{talk.cwd.parent / 'calls.jsonl'}", "-a", str(path))
    assert ids(sent(talk, *asked)[0]) == ["c4", "c5"]
    assert ids(sent(talk, *asked, "--history-tool-calls", "1")[0]) == ["c5"]
    shown = talk("agents", "show", str(path), "--json").json
    assert shown["max_tool_calls_from_history"] == 2


def test_a_limit_below_zero_is_refused(talk: Clew) -> None:
    path = define(talk, "max_tool_calls_from_history: -1")
    assert ":1: max_tool_calls_from_history: " in talk("agents", "validate", str(path), code=2).err
    talk("continue", "-s", "s", "--history-tool-calls", "-1", "three", code=2)


def test_run_sends_history_if_its_tool_calls_are_limited(talk: Clew) -> None:
    asked = ("-m", f"replay:{talk.cwd.parent / 'calls.jsonl'}", "--history-tool-calls", "1")
    shown = talk("run", "-s", "s", *asked, "--dry-run", "--json", "three").json
    assert (shown["history"]["runs"], ids(shown["messages"])) == (2, ["c5"])


@pytest.mark.slow
def test_a_provider_gets_the_newest_tool_calls_only(talk: Clew, provider: Provider) -> None:
    model = ("-m", "openai/test-model")
    line = talk("continue", "-s", "s", *model, "--history-tool-calls", "1", "--json", "x").json
    [request] = provider.requests
    strict(request.body)
    assert ids(request.body["messages"]) == ["c5"]
    run = f"--as-sent={line['run_id']}"
    assert talk("history", "-s", "s", run).lines == request.body["messages"]
