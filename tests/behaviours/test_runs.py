"""What a user of agents expects of runs (the behaviours A1 to A18)."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew
from tests.defined import write
from tests.paused import call, plays, sent, tool
from tests.provider import Provider
from tests.stuck import stuck
from tests.toolcalls import calling, command, results

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def content(clew: Clew) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in clew.home.rglob("*") if path.is_file()}


def test_a_run_without_any_option_has_a_uuid_a_session_with_another_and_is_completed(
    clew: Clew, model: str
) -> None:
    line = clew("run", "--json", "hi", env={"CLEW_MODEL": model}).json
    assert UUID.fullmatch(line["run_id"])
    assert UUID.fullmatch(line["session_id"])
    assert line["run_id"] != line["session_id"]
    assert (line["status"], line["exit_code"]) == ("COMPLETED", 0)


@pytest.mark.parametrize("where", [("--no-store",), ("--store", "memory:")], ids=" ".join)
def test_the_session_of_a_run_that_was_not_kept_is_not_found(
    clew: Clew, model: str, where: tuple[str, ...]
) -> None:
    before, after = (where, ()) if where[0] == "--store" else ((), where)
    line = clew(*before, "run", "-m", model, *after, "--json", "hi").json
    for look in (["history"], ["state"], ["continue", "-m", model, "hi"], ["metrics"]):
        result = clew(*look[:1], "-s", line["session_id"], *look[1:], code=3)
        assert result.out == ""
        assert f"no session '{line['session_id']}'" in result.err


def test_each_run_of_a_session_has_an_id_of_its_own_and_they_stand_in_their_order(
    clew: Clew, model: str
) -> None:
    runs = [clew("run", "-m", model, "-s", "s", "--json", word).json for word in ("one", "two")]
    assert runs[0]["run_id"] != runs[1]["run_id"]
    assert clew("history", "-s", "s", "--json").lines == runs
    others = [clew("run", "-m", model, "--json", "hi").json["session_id"] for _ in range(2)]
    assert len({"s", *others}) == 3


@pytest.mark.slow
def test_retries_are_one_run_of_one_id_and_their_pauses_grow(
    clew: Clew, provider: Provider
) -> None:
    for _ in range(2):
        provider.answer(status=503)
    provider.answer("at last")
    asked = ("run", "-m", "openai/test-model", "-s", "s", "--retries", "2", "-o", "stream-json")
    events = clew(*asked, "go").lines
    pauses = [event["retry_in"] for event in events if event["event"] == "ModelRequestError"]
    assert len(pauses) == 2
    assert 0 < pauses[0] < 0.7 < pauses[1]
    [line] = clew.stored("s")
    assert {event["run_id"] for event in events} == {line["run_id"]}
    assert (line["content"], line["metrics"]["requests"]) == ("at last", 3)


@pytest.mark.slow
def test_what_cannot_pass_is_not_asked_again(clew: Clew, provider: Provider) -> None:
    provider.answer(status=400)
    clew("run", "-m", "openai/test-model", "--retries", "2", "go", code=1)
    assert len(provider.requests) == 1


def test_a_tool_that_raises_is_told_to_the_model_and_the_run_goes_on(clew: Clew) -> None:
    write(clew.cwd / "mine.py", "def boom(n: int):\n    raise LookupError(f'no {n}')")
    model = calling(clew, [call("c1", "boom", n=1), call("c2", "t", a=2)])
    tools = ("-t", "mine:boom", "-t", command("cat"))
    line = clew("run", "-q", "-m", model, *tools, "--json", "go").json
    assert results(line) == ["LookupError: no 1", '{"a": 2}']
    [asked] = [message for message in line["messages"] if message.get("tool_calls")]
    assert [json.loads(one["function"]["arguments"]) for one in asked["tool_calls"]] == [
        {"n": 1},
        {"a": 2},
    ]
    assert [(one["tool_args"], one["tool_call_error"]) for one in line["tools"]] == [
        ({"n": 1}, True),
        ({"a": 2}, False),
    ]
    assert (line["status"], line["content"]) == ("COMPLETED", "done")


def test_a_pause_that_is_confirmed_in_another_process_runs_the_tool_once_and_is_one_turn(
    clew: Clew, model: str
) -> None:
    asks = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    paused = clew("run", "-s", "s", "-m", asks, "-t", path, "--json", "go", code=6).json
    line = clew("continue", "-s", "s", f"--resume={paused['run_id']}", "--confirm", "--json").json
    assert (sent(clew), line["status"]) == ([{"to": "a"}], "COMPLETED")
    assert (line["resumes"], line["session_metrics"]["turns"]) == (paused["run_id"], 1)
    shown = clew("continue", "-s", "s", "-m", model, "--dry-run", "--json", "hi").json
    assert [m["content"] for m in shown["messages"] if m["role"] == "user"] == ["go", "hi"]


def test_going_on_with_a_completed_run_is_a_new_run_and_leaves_it_as_it_is(
    clew: Clew, model: str
) -> None:
    first = clew("run", "-m", model, "-s", "s", "--json", "one").json
    before = clew.session_file("s").read_bytes()
    second = clew("continue", "-s", "s", "--json", "two").json
    assert clew.session_file("s").read_bytes().startswith(before)
    assert second["run_id"] != first["run_id"]
    assert (second["resumes"], second["history"]["runs"]) == (None, 1)
    refused = clew("continue", "-s", "s", f"--resume={first['run_id']}", "three", code=2)
    assert "COMPLETED" in refused.err


def test_a_run_that_reached_a_limit_is_gone_on_with_where_it_stopped(clew: Clew) -> None:
    asks = plays(clew, [call("c1", to="a")])
    limited = ("run", "-s", "s", "-m", asks, "-t", tool(clew), "--max-turns", "1", "--json")
    failed = clew(*limited, "go", code=5).json
    assert failed["status"] == "ERROR"
    line = clew("continue", "-s", "s", "--resume", "--json").json
    assert (line["status"], line["resumes"]) == ("COMPLETED", failed["run_id"])
    roles = [message["role"] for message in line["messages"]]
    assert (roles, sent(clew)) == (["user", "assistant", "tool", "assistant"], [{"to": "a"}])


@pytest.mark.parametrize(
    ("stop", "status"), [(signal.SIGINT, "CANCELLED"), (signal.SIGKILL, "INTERRUPTED")]
)
def test_a_run_that_was_stopped_or_killed_is_gone_on_with(
    clew: Clew, stop: signal.Signals, status: str
) -> None:
    with stuck(clew, "run", "-s", "s", "--run-id", "r") as process:
        process.send_signal(stop)
        process.communicate(timeout=200)
    model = clew.recording(("flood", "in short"))
    line = clew("continue", "-s", "s", "-m", model, "--resume", "--json").json
    assert (line["resumes"], line["content"]) == ("r", "in short")
    assert [one["status"] for one in clew.stored("s")] == [status, "COMPLETED"]


def test_what_cannot_be_gone_on_with_is_refused_with_errors_that_differ(
    clew: Clew, model: str
) -> None:
    done = clew("run", "-m", model, "-s", "s", "--json", "one").json["run_id"]
    before = content(clew)
    told: dict[str, Any] = {}
    for run, code in ((done, 2), ("nobody", 3)):
        result = clew("continue", "-s", "s", f"--resume={run}", "--json", code=code)
        told[run] = result.json["error"]["kind"]
    assert told[done] != told["nobody"]
    assert content(clew) == before
