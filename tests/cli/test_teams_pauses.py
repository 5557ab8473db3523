"""A member that waits for somebody has its team wait, and what is settled goes to that member."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, sent, tool
from tests.teams import Json, delegate, inline, member, names, run_of, runs, team, told
from tests.torture.checker import check

ASK: Json = {"requires_confirmation": True}
SETTLE = ("continue", "-q", "-s", "s")


def clean(clew: Clew) -> bool:
    """Whether both judges find nothing wrong with session `s`."""
    clew("sessions", "verify", "-s", "s")
    return check(clew.session_file("s")) == []


def sending(clew: Clew, name: str, *to: str, **keys: Any) -> Json:
    """Define a member that asks whether it may send something, to itself unless said otherwise."""
    calls = [call(str(number), "send", to=each) for number, each in enumerate(to or (name,))]
    return member(clew, name, calls, tools=[tool(clew, **(keys or ASK))])


def sending_in_turn(clew: Clew, name: str, *to: str) -> Json:
    """Define a member that asks for one call after the other, each when it has the last result."""
    turns = [[call(str(number), "send", to=each)] for number, each in enumerate(to, 1)]
    return member(clew, name, *turns, tools=[tool(clew, **ASK)])


def waiting(clew: Clew, *members: Json, **keys: Any) -> Json:
    """Run a team that has to pause, and return its line."""
    path = team(clew, *members, **keys)
    line: Json = clew("run", "-q", "--team", path, "-s", "s", "--json", "go", code=6).json
    return line


def open_calls(line: Json) -> list[str]:
    return [each["tool_call_id"] for each in line["requirements"] if each["decision"] is None]


def test_a_teams_line_says_which_member_waits_and_for_what(clew: Clew) -> None:
    line = waiting(clew, member(clew, "ann"), sending(clew, "bob"))
    assert (line["status"], line["exit_code"]) == ("PAUSED", 6)
    [one] = line["requirements"]
    bob = run_of(clew, "bob")
    assert one["inside"] == {"name": "bob", "run_id": bob["run_id"], "tool_call_id": "d-bob"}
    assert (one["tool_name"], one["tool_args"], one["decision"]) == ("send", {"to": "bob"}, None)
    assert bob["status"] == "PAUSED"
    assert bob["requirements"][0]["tool_call_id"] == one["tool_call_id"]
    assert line["session_metrics"]["open_pauses"] == [line["run_id"]]
    assert told(line) == ["ann is done"]
    assert clean(clew)


def test_a_yes_goes_on_with_that_member_and_then_the_leader_and_with_nobody_else(
    clew: Clew,
) -> None:
    paused = waiting(clew, member(clew, "ann"), sending(clew, "bob"))
    line = clew(*SETTLE, "--confirm", "--json").json
    assert (line["status"], line["content"]) == ("COMPLETED", "All done.")
    assert line["resumes"] == paused["run_id"]
    assert told(line) == ["ann is done", "bob is done"]
    first, second = (each for each in runs(clew) if each["name"] == "bob")
    assert second["resumes"] == first["run_id"]
    assert second["parent_run_id"] == line["run_id"]
    assert names(clew).count(("ann", "COMPLETED")) == 1
    assert sent(clew) == [{"to": "bob"}]
    assert line["requirements"][0]["decision"] == "confirmed"
    assert "open_pauses" not in line["session_metrics"]
    assert clean(clew)


def test_a_no_with_its_reason_is_told_to_the_member(clew: Clew) -> None:
    waiting(clew, sending(clew, "bob"))
    line = clew(*SETTLE, "--reject", "--note", "not today", "--json").json
    assert line["status"] == "COMPLETED"
    assert "not today" in told(run_of(clew, "bob"))[0]
    assert line["requirements"][0]["note"] == "not today"
    assert sent(clew) == []
    assert clean(clew)


def test_a_result_from_outside_reaches_the_member(clew: Clew) -> None:
    keys = {"external": True}
    [call_id] = open_calls(waiting(clew, sending(clew, "bob", **keys)))
    clew(*SETTLE, "--result", f"{call_id}=it is sent")
    assert told(run_of(clew, "bob")) == ["it is sent"]
    assert clean(clew)


ASKS: Json = {
    "parameters": {
        "type": "object",
        "properties": {"to": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["to", "n"],
    },
    "requires_user_input": ["n"],
}


def test_an_answer_of_the_wrong_type_is_refused_before_anything_is_written(clew: Clew) -> None:
    waiting(clew, sending(clew, "bob", **ASKS))
    before = clew.session_file("s").read_bytes()
    wrong = clew(*SETTLE, "--answer", "n=many", code=2)
    assert "n" in wrong.err
    assert clew.session_file("s").read_bytes() == before
    assert not list(clew.home.rglob("*.part"))
    clew(*SETTLE, "--answer", "n=7")
    assert sent(clew) == [{"to": "bob", "n": 7}]
    assert clean(clew)


def test_two_members_that_wait_are_settled_one_after_the_other(clew: Clew) -> None:
    line = waiting(clew, sending(clew, "ann"), sending(clew, "bob"))
    first, second = open_calls(line)
    partly = clew(*SETTLE, f"--confirm={first}", "--json", code=6).json
    assert open_calls(partly) == [second]
    assert sent(clew) == [{"to": "ann"}]
    assert told(partly) == ["ann is done"]
    assert clean(clew)
    last = clew(*SETTLE, f"--reject={second}", "--json").json
    assert told(last) == ["ann is done", "bob is done"]
    assert sent(clew) == [{"to": "ann"}]
    assert [name for name, _ in names(clew)].count("ann") == 2
    assert clean(clew)


def test_of_two_members_that_wait_for_tools_of_one_name_each_can_be_named(clew: Clew) -> None:
    waiting(clew, sending(clew, "ann"), sending(clew, "bob"))
    wrong = clew(*SETTLE, "--confirm=send", code=2).err
    assert "send" in wrong
    clew(*SETTLE, "--confirm=bob/send", code=6)
    assert sent(clew) == [{"to": "bob"}]
    clew(*SETTLE, "--confirm=send")
    assert sent(clew) == [{"to": "bob"}, {"to": "ann"}]
    assert clean(clew)


def test_a_member_that_waits_for_two_calls_is_settled_partly(clew: Clew) -> None:
    line = waiting(clew, member(clew, "ann"), sending(clew, "bob", "x", "y"))
    first, second = open_calls(line)
    assert open_calls(clew(*SETTLE, f"--confirm={second}", "--json", code=6).json) == [first]
    clew(*SETTLE, "--confirm")
    assert sorted(each["to"] for each in sent(clew)) == ["x", "y"]
    assert names(clew).count(("ann", "COMPLETED")) == 1
    assert clean(clew)


def test_yes_settles_everything_that_is_left_and_what_comes_then(clew: Clew) -> None:
    waiting(clew, sending(clew, "ann"), sending_in_turn(clew, "bob", "x", "y"))
    line = clew(*SETTLE, "--resume", "-y", "--json").json
    assert line["status"] == "COMPLETED"
    assert sorted(each["to"] for each in sent(clew)) == ["ann", "x", "y"]
    assert clean(clew)


def test_a_member_that_comes_to_wait_again_has_the_team_paused_again(clew: Clew) -> None:
    waiting(clew, sending_in_turn(clew, "bob", "x", "y"))
    again = clew(*SETTLE, "--confirm", "--json", code=6).json
    [one] = [each for each in again["requirements"] if each["decision"] is None]
    assert one["tool_args"] == {"to": "y"}
    assert one["inside"]["run_id"] == run_of(clew, "bob")["run_id"]
    clew(*SETTLE, "--confirm")
    assert sent(clew) == [{"to": "x"}, {"to": "y"}]
    assert clean(clew)


def test_a_pause_two_teams_deep_is_settled_from_the_top(clew: Clew) -> None:
    inner = inline(
        clew, sending(clew, "ann"), member(clew, "cat"), name="inner", asked="do inner", answer="ok"
    )
    line = waiting(clew, inner, member(clew, "bob"), name="outer")
    [one] = line["requirements"]
    assert one["inside"]["name"] == "inner/ann"
    assert one["inside"]["run_id"] == run_of(clew, "inner")["run_id"]
    assert clean(clew)
    done = clew(*SETTLE, "--confirm=inner/ann/send", "--json").json
    assert told(done) == ["ok", "bob is done"]
    assert sent(clew) == [{"to": "ann"}]
    counts = {name: [each for each, _ in names(clew)].count(name) for name in ("ann", "cat", "bob")}
    assert counts == {"ann": 2, "cat": 1, "bob": 1}
    assert clean(clew)


@pytest.mark.parametrize("mode", ["route", "broadcast"])
def test_a_pause_in_another_mode_ends_as_the_mode_wants(clew: Clew, mode: str) -> None:
    bob = sending(clew, "bob")
    if mode == "broadcast":
        bob = member(
            clew, "bob", [call("1", "send", to="bob")], asked="go", tools=[tool(clew, **ASK)]
        )
    waiting(clew, bob, mode=mode)
    done = clew(*SETTLE, "--confirm")
    assert done.out == ("bob is done\n" if mode == "route" else "All done.\n")
    assert sent(clew) == [{"to": "bob"}]
    assert clean(clew)


@pytest.mark.parametrize("waits", ["ann", "bob"])
def test_in_route_the_answer_after_a_pause_is_of_all_who_were_called_in_the_order_of_the_calls(
    clew: Clew, waits: str
) -> None:
    members = [(sending if each == waits else member)(clew, each) for each in ("ann", "bob")]
    waiting(clew, *members, mode="route")
    assert clew(*SETTLE, "--confirm").out == "ann is done\n\nbob is done\n"
    assert names(clew).count((waits, "COMPLETED")) == 1
    assert clean(clew)


def test_in_route_the_answers_of_three_pauses_are_all_there_in_the_end(clew: Clew) -> None:
    paused = waiting(clew, *(sending(clew, each) for each in ("ann", "bob", "cat")), mode="route")
    first, second, third = open_calls(paused)
    clew(*SETTLE, f"--confirm={third}", code=6)
    clew(*SETTLE, f"--reject={first}", code=6)
    done = clew(*SETTLE, f"--confirm={second}")
    assert done.out == "ann is done\n\nbob is done\n\ncat is done\n"
    assert sent(clew) == [{"to": "cat"}, {"to": "bob"}]
    assert clean(clew)


def test_a_yes_that_two_say_at_the_same_time_runs_the_tool_once(clew: Clew) -> None:
    waiting(clew, member(clew, "ann"), sending(clew, "bob"))
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: clew(*SETTLE, "--confirm", code=None), range(4)))
    assert {each.code for each in ended} <= {0, 3}
    assert [each.out for each in ended if each.code == 0].count("All done.\n") >= 1
    assert sent(clew) == [{"to": "bob"}]
    assert names(clew).count(("team", "COMPLETED")) == 1
    assert clean(clew)


def test_a_paused_team_is_not_gone_on_with_while_nothing_is_said(clew: Clew) -> None:
    waiting(clew, sending(clew, "bob"))
    before = clew.session_file("s").read_bytes()
    assert "--confirm" in clew(*SETTLE, "--resume", code=2).err
    assert clew.session_file("s").read_bytes() == before


def test_a_members_run_cannot_be_gone_on_with_without_its_team(clew: Clew) -> None:
    waiting(clew, sending(clew, "bob"))
    run = run_of(clew, "bob")["run_id"]
    before = clew.session_file("s").read_bytes()
    clew(*SETTLE, f"--resume={run}", "-y", code=2)
    assert clew.session_file("s").read_bytes() == before
    assert sent(clew) == []


def test_a_tool_of_the_leader_and_one_of_a_member_may_wait_together(clew: Clew) -> None:
    turns = [[call("1", "send", to="me"), delegate("2", "bob")]]
    line = waiting(clew, sending(clew, "bob"), turns=turns, tools=[tool(clew, **ASK)])
    waiting_for = {each.get("inside", {}).get("name") for each in line["requirements"]}
    assert waiting_for == {None, "bob"}
    done = clew(*SETTLE, "--confirm", "--json").json
    assert told(done) == ["sent", "bob is done"]
    assert sorted(each["to"] for each in sent(clew)) == ["bob", "me"]
    assert clean(clew)


def test_a_member_whose_tool_is_gone_is_not_gone_on_with(clew: Clew) -> None:
    path = team(clew, sending(clew, "bob"))
    clew("run", "-q", "--team", path, "-s", "s", "go", code=6)
    with open(path) as file:
        keys = json.load(file)
    keys["members"][0]["tools"] = []
    with open(path, "w") as file:
        json.dump(keys, file)
    before = clew.session_file("s").read_bytes()
    assert "send" in clew(*SETTLE, "--confirm", code=2).err
    assert clew.session_file("s").read_bytes() == before


def test_deny_says_no_to_what_members_ask(clew: Clew) -> None:
    path = team(clew, sending(clew, "bob"))
    line = clew("run", "-q", "--team", path, "-s", "s", "--approve", "deny", "--json", "go").json
    assert line["status"] == "COMPLETED"
    assert sent(clew) == []
    assert clean(clew)


def test_a_paused_team_may_be_left_and_something_else_be_asked(clew: Clew) -> None:
    path = team(clew, sending(clew, "bob"))
    clew("run", "-q", "--team", path, "-s", "s", "go", code=6)
    solo = clew.recording(("hi", "hello"), name="solo.jsonl")
    clew("run", "-q", "-s", "s", "-m", solo, "hi")
    assert clew(*SETTLE, "--confirm").out == "All done.\n"
    assert sent(clew) == [{"to": "bob"}]
    assert clean(clew)
