"""What is shown of tools while a run goes on: events, and notes at a terminal."""

import shlex
from typing import Any

from tests.conftest import Clew
from tests.terminal import in_terminal
from tests.toolcalls import call, calling, command, script

Json = dict[str, Any]


def events(clew: Clew, *options: str, words: str = "") -> list[Json]:
    model = calling(clew, [call("t", "c1", n=1), call("u", "c2")], words=words)
    tools = ("-t", command("echo", "fine"), "-t", command("false", name="u"))
    run = ("run", "-m", model, "-s", "s", *tools, "-o", "stream-json", *options, "go")
    found: list[Json] = clew(*run).lines
    return found


def test_each_call_is_told_when_it_begins_and_when_it_ends(clew: Clew) -> None:
    told = [event for event in events(clew) if event["event"].startswith("ToolCall")]
    begun = [event["tool"] for event in told if event["event"] == "ToolCallStarted"]
    assert [(tool["tool_name"], tool["tool_args"]) for tool in begun] == [
        ("t", {"n": 1}),
        ("u", {}),
    ]
    ended = {e["tool"]["tool_name"]: (e["event"], e["tool"]["result"]) for e in told[2:]}
    assert ended == {
        "t": ("ToolCallCompleted", "fine"),
        "u": ("ToolCallError", "it failed with exit code 1"),
    }


def test_the_records_of_the_events_are_those_of_the_line(clew: Clew) -> None:
    *_, last = found = events(clew)
    ended = [e["tool"] for e in found if e["event"] in ("ToolCallCompleted", "ToolCallError")]
    assert sorted(ended, key=lambda tool: tool["tool_call_id"]) == last["run"]["tools"]


def test_the_answers_events_make_its_content_and_words_before_a_call_do_not(clew: Clew) -> None:
    found = events(clew, words="Let me see.")
    content = [event["content"] for event in found if event["event"] == "RunContent"]
    before = [event["content"] for event in found if event["event"] == "RunIntermediateContent"]
    assert "".join(content) == found[-1]["run"]["content"] == "done"
    assert before == ["Let me see."]


def test_every_event_fits_the_schema_and_the_first_and_last_are_the_runs(clew: Clew) -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(clew("schema", "event").json)
    found = events(clew, words="Hm.")
    assert [error.message for event in found for error in validator.iter_errors(event)] == []
    assert (found[0]["event"], found[-1]["event"]) == ("RunStarted", "RunCompleted")
    assert [event for event in found[:-1] if "run" in event] == []


def test_a_terminal_is_shown_what_is_called_and_how_it_went(clew: Clew) -> None:
    model = calling(clew, [call("t", city="Lyon\x1b[31m")], words="Let me see.")
    tool = script("echo it rains")
    words = shlex.join(["clew", "run", "-m", model, "-s", "s", "-t", tool, "go"])
    code, shown = in_terminal(clew, words)
    assert code == 0
    assert b'clew: calling t({"city": "Lyon' in shown
    assert b"\x1b[31m" not in shown
    assert b"clew: t is done (" in shown
    assert b"it rains" in shown
    assert shown.index(b"Let me see.") < shown.index(b"calling t") < shown.rindex(b"done")


def test_nothing_is_said_of_calls_where_nobody_watches_unless_asked(clew: Clew) -> None:
    model = calling(clew, [call("t", n=1)])
    run = ("run", "-s", "s", "-m", model, "-t", command("echo", "fine"), "go")
    assert "calling" not in clew(*run).err
    assert 'clew: calling t({"n": 1})\n' in clew(*run, "-v").err


def test_memory_of_a_session_holds_what_its_tools_were_asked_and_told(clew: Clew) -> None:
    *_, last = events(clew)
    (stored,) = clew.stored("s")
    assert last["run"] == stored
    assert [
        (t["tool_call_id"], t["tool_name"], t["tool_args"], t["result"], t["tool_call_error"])
        for t in stored["tools"]
    ] == [
        ("c1", "t", {"n": 1}, "fine", False),
        ("c2", "u", {}, "it failed with exit code 1", True),
    ]
    assert [m["role"] for m in stored["messages"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
