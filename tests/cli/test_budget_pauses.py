"""Paused runs of a session whose budget is used up: they can be settled, and nothing is lost."""

import json
from typing import Any

import pytest

from clew.core import Agent
from clew.stores import JsonlStore
from tests.cli.test_budget import Dear
from tests.conftest import Clew
from tests.paused import Json, call, plays, sent, tool
from tests.torture.checker import check

REFUSED = "the session's budget of 1 turns is used up: 1"


def agent(clew: Clew, *calls: Json, budget: Json, **tool_fields: Any) -> None:
    """Define an agent that makes these calls at once when asked to `go`, and then says `Done.`."""
    defined = {
        "model": plays(clew, list(calls)),
        "tools": [tool(clew, **tool_fields)],
        "budget": budget,
    }
    (clew.cwd / "a.yaml").write_text(json.dumps(defined))


def budget(clew: Clew, **most: Any) -> None:
    """Change the agent's budget."""
    path = clew.cwd / "a.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"budget": most}))


def paused(clew: Clew, *calls: Json, **tool_fields: Any) -> Json:
    """Have a run paused that has used up the budget of its session; return its line."""
    agent(clew, *(calls or [call("c1", to="a")]), budget={"turns": 1}, **tool_fields)
    line: Json = clew("run", "-q", "-s", "s", "-a", "./a.yaml", "--json", "go", code=6).json
    return line


def go_on(clew: Clew, *arguments: str, code: int) -> Json:
    line: Json = clew("continue", "-q", "-s", "s", "--json", *arguments, code=code).json
    return line


def whole(clew: Clew) -> None:
    """Fail unless the session's file is as it has to be."""
    clew("sessions", "verify", "-s", "s")
    assert check(clew.session_file("s")) == []


@pytest.mark.parametrize(
    ("fields", "settle", "decision", "told"),
    [
        (
            {"requires_confirmation": True},
            ("--reject", "--note", "Not now."),
            "rejected",
            "The user did not allow this call: Not now.",
        ),
        (
            {"requires_confirmation": True},
            ("--resume", "--approve", "deny"),
            "rejected",
            "The user did not allow this call: tools that need approval are not allowed here",
        ),
        ({"external": True}, ("--result", "c1=All sent."), "supplied", "All sent."),
    ],
)
def test_a_no_or_a_result_is_recorded_without_asking_a_model_and_sent_once_there_is_a_budget(
    clew: Clew, fields: Json, settle: tuple[str, ...], decision: str, told: str
) -> None:
    before = paused(clew, **fields)
    line = go_on(clew, *settle, code=5)
    assert (line["status"], line["error"]["message"]) == ("ERROR", REFUSED)
    assert line["resumes"] == before["run_id"]
    assert [each["decision"] for each in line["requirements"]] == [decision]
    assert line["metrics"]["requests"] == 0
    whole(clew)
    budget(clew, turns=2)
    done = go_on(clew, "--resume", code=0)
    assert (done["content"], done["resumes"]) == ("Done.", line["run_id"])
    assert [m["content"] for m in done["messages"] if m["role"] == "tool"] == [told]
    assert done["session_metrics"]["requests"] == 2
    assert sent(clew) == []
    whole(clew)


@pytest.mark.parametrize(
    ("fields", "arguments", "settle"),
    [
        ({"requires_confirmation": True}, {"to": "a"}, ("--confirm",)),
        ({"requires_confirmation": True}, {"to": "a"}, ("--resume", "-y")),
        ({"requires_user_input": ["to"]}, {}, ("--answer", "to=b")),
    ],
)
def test_no_tool_is_called_for_a_model_that_could_not_be_told_and_the_run_still_waits(
    clew: Clew, fields: Json, arguments: Json, settle: tuple[str, ...]
) -> None:
    paused(clew, call("c1", **arguments), **fields)
    before = clew.session_file("s").read_bytes()
    result = clew("continue", "-s", "s", *settle, code=5)
    assert f"clew: {REFUSED}\n  hint: without more of it, the run takes only --reject" in result.err
    assert (clew.session_file("s").read_bytes(), sent(clew)) == (before, [])
    budget(clew, turns=2)
    assert go_on(clew, *settle, code=0)["content"] == "Done."
    assert len(sent(clew)) == 1


def test_a_no_to_one_of_two_calls_leaves_the_other_open_whoever_would_say_yes(clew: Clew) -> None:
    paused(clew, call("c1", to="a"), call("c2", to="b"), requires_confirmation=True)
    line = go_on(clew, "--reject=c1", "-y", code=6)
    assert [each["decision"] for each in line["requirements"]] == ["rejected", None]
    assert (line["metrics"]["requests"], sent(clew)) == (0, [])
    whole(clew)
    budget(clew, turns=2)
    assert go_on(clew, "--confirm", code=0)["content"] == "Done."
    assert sent(clew) == [{"to": "b"}]


def test_a_yes_beside_a_no_is_refused_with_it(clew: Clew) -> None:
    paused(clew, call("c1", to="a"), call("c2", to="b"), requires_confirmation=True)
    clew("continue", "-s", "s", "--reject=c1", "--confirm=c2", code=5)
    assert (len(clew.stored("s")), sent(clew)) == (1, [])


def test_who_says_no_a_second_time_gets_the_line_of_the_first(clew: Clew) -> None:
    run = paused(clew, requires_confirmation=True)["run_id"]
    line = go_on(clew, f"--resume={run}", "--reject", code=5)
    assert go_on(clew, f"--resume={run}", "--reject", code=5) == line
    clew("continue", "-s", "s", "--reject", code=3)


def test_a_model_that_costs_nothing_is_not_asked_either(clew: Clew) -> None:
    agent(clew, call("c1", to="a"), budget={"cost": 1.0}, requires_confirmation=True)
    clew("run", "-s", "s", "-a", "./a.yaml", "go", code=6)
    Agent(model=Dear()).run("hi", session_id="s", store=JsonlStore(str(clew.home)))
    line = go_on(clew, "--reject", code=5)
    assert (line["error"]["kind"], line["metrics"]["requests"]) == ("limit", 0)
