"""What a user of teams expects of them (the behaviours T1 to T10 and S5): over the wire."""

import json
import signal
import threading
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, tool
from tests.provider import Answer, Provider
from tests.teams import Cast, Json, defined, delegate, names, run_of, runs, told
from tests.torture.checker import check


@pytest.fixture
def cast(provider: Provider) -> Cast:
    return Cast(provider)


def lead(clew: Clew, *members: str | Json, **keys: Any) -> str:
    """Define a team of models that the provider plays; return what comes after `clew`."""
    made: list[Json] = []
    for each in members:
        given = {"name": each} if isinstance(each, str) else each
        made.append({"model": f"openai/{given['name']}", **given})
    keys = {"kind": "team", "model": "openai/lead", "members": made, **keys}
    return str(defined(clew, "team", **keys))


def clean(clew: Clew) -> bool:
    """Whether both judges find nothing wrong with session `s`."""
    clew("sessions", "verify", "-s", "s")
    return check(clew.session_file("s")) == []


def test_t1_a_members_run_is_a_line_of_its_own_in_the_same_session_under_the_teams_run(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", [delegate("1", "ann", "count the pages")], "There are nine.")
    cast.says("ann", "nine")
    line = clew("run", "--team", lead(clew, "ann", "bob"), "-s", "s", "--json", "how many?").json
    member, stored = runs(clew)
    assert stored == line
    assert member["parent_run_id"] == member["root_run_id"] == line["run_id"]
    assert member["session_id"] == line["session_id"] == "s"
    assert (member["input"], member["content"]) == ("count the pages", "nine")
    assert (member["name"], member["kind"], line["kind"]) == ("ann", "agent", "team")
    assert line["tools"][0]["child_run_id"] == member["run_id"] != line["run_id"]
    assert (line["parent_run_id"], line["content"]) == (None, "There are nine.")
    assert clean(clew)


def test_t1_the_leader_is_told_who_is_in_the_team_and_each_member_only_its_task(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", [delegate("1", "ann", "count the pages")])
    ann: Json = {"name": "ann", "description": "counts things", "instructions": "Count."}
    clew("run", "-q", "--team", lead(clew, ann, "bob", instructions="Be brief."), "go on")
    system = cast.sent("lead")[0][0]["content"]
    assert system.startswith("Be brief.")
    assert "- ann: counts things\n- bob\n" in system
    [sent] = cast.sent("ann")
    assert [(m["role"], m["content"]) for m in sent] == [
        ("system", "Count."),
        ("user", "count the pages"),
    ]


def test_t2_in_route_the_members_answer_is_the_answer_and_the_leader_is_asked_once(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", [delegate("1", "bob", "say yes")], "never said")
    cast.says("bob", "yes, says bob")
    path = lead(clew, "ann", "bob", mode="route")
    assert clew("run", "-q", "--team", path, "-s", "s", "is it so?").out == "yes, says bob\n"
    assert [len(cast.sent(name)) for name in ("lead", "bob", "ann")] == [1, 1, 0]
    assert run_of(clew, "team")["content"] == "yes, says bob"
    assert clean(clew)


def test_t2_in_broadcast_every_member_gets_the_same_task_once_and_the_leader_sums_up(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", "Both agree.")
    path = lead(clew, "ann", "bob", mode="broadcast")
    assert clew("run", "-q", "--team", path, "-s", "s", "is it so?").out == "Both agree.\n"
    for name in ("ann", "bob"):
        assert [m["content"] for [*_, m] in cast.sent(name)] == ["is it so?"]
    [sent] = cast.sent("lead")
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "tool", "tool"]
    assert ["ann is done" in sent[3]["content"], "bob is done" in sent[4]["content"]] == [True] * 2
    assert names(clew)[-1] == ("team", "COMPLETED")
    assert clean(clew)


def test_t2_the_leader_of_a_broadcast_calls_no_tool_after_it(
    clew: Clew, provider: Provider
) -> None:
    cast = Cast(provider)
    clew("run", "-q", "--team", lead(clew, "ann", "bob", mode="broadcast"), "go")
    [body] = [each.body for each in provider.requests if each.body["model"] == "lead"]
    assert body["tool_choice"] == "none"
    assert len(cast.sent("lead")) == 1


@pytest.mark.parametrize("mode", ["coordinate", "route"])
def test_t3_of_an_unknown_member_the_leader_is_told_and_goes_on(
    clew: Clew, cast: Cast, mode: str
) -> None:
    cast.says("lead", [delegate("1", "zoe", "do it")], [delegate("2", "ann", "do it")], "Done.")
    path = lead(clew, "ann", "bob", mode=mode)
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert (line["status"], line["content"]) == (
        "COMPLETED",
        "ann is done" if mode == "route" else "Done.",
    )
    assert "ann" in told(line)[0] and "bob" in told(line)[0]
    assert line["tools"][0]["tool_call_error"] is True
    assert "child_run_id" not in line["tools"][0]
    assert names(clew) == [("ann", "COMPLETED"), ("team", "COMPLETED")]
    assert clean(clew)


@pytest.mark.parametrize("mode", ["coordinate", "route", "broadcast"])
def test_t3_of_a_failing_member_the_leader_is_told_why_and_its_run_is_on_record(
    clew: Clew, cast: Cast, mode: str
) -> None:
    turns: list[Any] = [] if mode == "broadcast" else [[delegate("1", "ann", "go")]]
    cast.says("lead", *turns, "Without ann, then.")
    cast.says("ann", *[Answer("out of order", status=500)] * 9)
    path = lead(clew, "ann", "bob", mode=mode, limits={"retries": 0})
    line = clew("run", "-q", "--retries", "0", "--team", path, "-s", "s", "--json", "go").json
    assert (line["status"], line["content"]) == ("COMPLETED", "Without ann, then.")
    assert "ann" in told(line)[0] and "out of order" in told(line)[0]
    failed = run_of(clew, "ann")
    assert (failed["status"], failed["exit_code"]) == ("ERROR", 69)
    assert failed["error"]["kind"] == "provider"
    assert {"name": "ann", "kind": "agent", "run_id": failed["run_id"], "status": "ERROR"} in line[
        "members"
    ]
    assert clean(clew)


@pytest.mark.slow
def test_t4_the_next_call_of_the_leader_has_what_was_asked_and_answered_and_nothing_of_members(
    clew: Clew, cast: Cast
) -> None:
    path = lead(clew, "ann", "bob")
    for n in "12":
        cast.says("lead", [delegate("1", "ann", f"task {n}"), delegate("2", "bob", f"job {n}")])
        cast.says("lead", f"answer {n}")
        clew("continue" if n == "2" else "run", "-q", "--team", path, "-s", "s", f"question {n}")
    sent = cast.sent("lead")[2]
    assert [(m["role"], m["content"]) for m in sent[1:]] == [
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "question 2"),
    ]
    assert run_of(clew, "team")["history"] == {
        "runs": 1,
        "first_seq": 3,
        "last_seq": 3,
        "left_out": 0,
    }
    assert clean(clew)


@pytest.mark.slow
def test_t4_a_member_with_history_on_sees_its_own_earlier_tasks_and_no_others(
    clew: Clew, cast: Cast
) -> None:
    ann: Json = {"name": "ann", "add_history_to_context": True}
    path = lead(clew, ann, "bob")
    for n in "12":
        cast.says("lead", [delegate("1", "ann", f"task {n}"), delegate("2", "bob", f"job {n}")])
        cast.says("lead", f"answer {n}")
        cast.says("ann", f"result {n}")
        clew("run", "-q", "--team", path, "-s", "s", f"question {n}")
    assert [m["content"] for m in cast.sent("ann")[1]] == ["task 1", "result 1", "task 2"]
    assert [m["content"] for m in cast.sent("bob")[1]] == ["job 2"]


@pytest.mark.slow
def test_what_a_member_was_told_ahead_of_an_earlier_task_is_not_told_again(
    clew: Clew, cast: Cast
) -> None:
    ann: Json = {"name": "ann", "add_history_to_context": True}
    path = lead(clew, ann, add_team_history_to_members=True)
    for n in "123":
        cast.says("lead", [delegate("1", "ann", f"task {n}")], f"answer {n}")
        clew("run", "-q", "--team", path, "-s", "s", f"question {n}")
    *earlier, task = [m["content"] for m in cast.sent("ann")[2] if m["role"] == "user"]
    assert earlier == ["task 1", "task 2"]
    assert task.startswith("<team_history_context>\n[run-1]\ninput: question 1\n")


@pytest.mark.slow
def test_t6_members_are_told_the_last_completed_exchanges_of_the_team_before_their_task(
    clew: Clew, cast: Cast
) -> None:
    keys = {"add_team_history_to_members": True, "num_team_history_runs": 2}
    path = lead(clew, "ann", **keys, limits={"retries": 0})
    for n in "123":
        cast.says("lead", f"answer {n}")
        clew("run", "-q", "--team", path, "-s", "s", f"question {n}")
    cast.says("lead", Answer("no", status=400))
    clew("run", "-q", "--team", path, "-s", "s", "question 4", code=1)
    cast.says("lead", [delegate("1", "ann", "the task")])
    clew("run", "-q", "--team", path, "-s", "s", "question 5")
    [[*_, message]] = cast.sent("ann")
    assert message["content"] == (
        "<team_history_context>\n"
        "[run-1]\ninput: question 2\nresponse: answer 2\n\n"
        "[run-2]\ninput: question 3\nresponse: answer 3\n\n"
        "</team_history_context>\n\nthe task"
    )


def test_t6_members_are_told_what_others_were_asked_and_said_in_the_same_run(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", [delegate("1", "ann", "dig")], [delegate("2", "bob", "plant")], "Done.")
    path = lead(clew, "ann", "bob", share_member_interactions=True)
    clew("run", "-q", "--team", path, "-s", "s", "go")
    assert cast.sent("ann")[0][-1]["content"] == "dig"
    assert cast.sent("bob")[0][-1]["content"] == (
        "<member_interaction_context>\n"
        "- member: ann\n  task: dig\n  answer: ann is done\n"
        "</member_interaction_context>\n\nplant"
    )
    cast.says("lead", [delegate("1", "bob", "water")], "Done.")
    clew("run", "-q", "--team", path, "-s", "s", "go")
    assert cast.sent("bob")[1][-1]["content"] == "water"


def test_t7_the_team_has_all_the_changes_of_the_state_that_its_members_made(
    clew: Clew, cast: Cast
) -> None:
    def changing(name: str, **state: Any) -> Json:
        cast.says(name, [call("1", "update_session_state", session_state_updates=state)], "changed")
        return {"name": name, "enable_agentic_state": True}

    cast.says("lead", [delegate("1", "ann", "x"), delegate("2", "bob", "x")])
    path = lead(clew, changing("ann", a=1), changing("bob", b={"c": 2}))
    line = clew("run", "-q", "--team", path, "-s", "s", "--state", '{"x": 0}', "--json", "go").json
    assert line["session_state"] == {"x": 0, "a": 1, "b": {"c": 2}}
    assert clew("state", "-s", "s").json == line["session_state"]
    assert clean(clew)


def test_t9_members_runs_are_lines_of_their_own_and_stand_in_the_teams_line_only_by_name(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", [delegate("1", "ann", "x")], "Done.")
    line = clew("run", "-q", "--team", lead(clew, "ann"), "-s", "s", "--json", "go").json
    [listed] = line["members"]
    member = run_of(clew, "ann")
    assert listed == {key: member[key] for key in ("name", "kind", "run_id", "status")}
    assert [message["role"] for message in line["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert line["steps"] == []


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_t10_a_stop_in_a_members_answer_cancels_both_keeps_what_came_and_the_next_run_works(
    clew: Clew, cast: Cast, signum: signal.Signals
) -> None:
    gate = threading.Event()
    cast.says("lead", [delegate("1", "ann", "a"), delegate("2", "bob", "b")])
    cast.says("bob", "bob was quick")
    cast.says("ann", Answer("as far as it came", gate=gate))
    path = lead(clew, "ann", "bob")
    process = clew.start("run", "--team", path, "-s", "s", "-o", "stream-json", "go")
    assert process.stdout is not None
    wanted = {("ann", "RunContent"), ("bob", "RunCompleted")}
    while wanted:
        event = json.loads(process.stdout.readline())
        wanted -= {(event.get("name"), event["event"])}
    process.send_signal(signum)
    out, _ = process.communicate(timeout=200)
    gate.set()
    assert process.returncode == -signum
    assert json.loads(out.splitlines()[-1])["event"] == "TeamRunCancelled"
    assert names(clew) == [("bob", "COMPLETED"), ("ann", "CANCELLED"), ("team", "CANCELLED")]
    assert "as far as it came".startswith(run_of(clew, "ann")["content"].strip())
    assert run_of(clew, "ann")["content"]
    assert run_of(clew, "ann")["exit_code"] == 128 + signum
    listed = {each["name"]: each["status"] for each in run_of(clew, "team")["members"]}
    assert listed == {"bob": "COMPLETED", "ann": "CANCELLED"}
    assert clean(clew)
    cast.says("lead", "a new day")
    assert clew("continue", "-q", "--team", path, "-s", "s", "again").out == "a new day\n"
    assert clean(clew)


def test_s5_another_user_changes_nothing_of_a_teams_session(clew: Clew, cast: Cast) -> None:
    cast.says("lead", [delegate("1", "ann", "a")], "Done.")
    path = lead(clew, "ann")
    clew("run", "-q", "--team", path, "-s", "s", "-u", "alice", "go")
    before = clew.session_file("s", "alice").read_bytes()
    member = json.loads(before.splitlines()[0])["run_id"]
    for refused in (
        ["sessions", "rename", "-u", "bob", "s", "mine"],
        ["continue", "-u", "bob", "-s", "s", "--team", path, "go"],
        ["history", "-u", "bob", "-s", "s", f"--run={member}"],
    ):
        result = clew(*refused, code=3)
        assert "ann is done" not in result.out + result.err
    assert clew.session_file("s", "alice").read_bytes() == before
    assert not clew.session_file("s", "bob").exists()


@pytest.mark.parametrize(("first", "second"), [("-a", "--team"), ("--team", "-a")])
def test_agents_and_teams_in_one_session_see_each_others_exchanges(
    clew: Clew, cast: Cast, first: str, second: str
) -> None:
    paths = {"--team": lead(clew, "ann"), "-a": str(defined(clew, "solo", model="openai/solo"))}
    cast.says("lead", [delegate("1", "ann", "a")], "the team says so")
    cast.says("solo", "I say so")
    clew("run", "-q", first, paths[first], "-s", "s", "first")
    clew("run", "-q", "--history", second, paths[second], "-s", "s", "second")
    sent = cast.sent("lead" if second == "--team" else "solo")[0]
    answer = "the team says so" if first == "--team" else "I say so"
    said = [(m["role"], m["content"]) for m in sent if m["role"] != "system"]
    assert said == [("user", "first"), ("assistant", answer), ("user", "second")]


@pytest.mark.slow
def test_a_pause_inside_is_settled_in_a_new_process_and_goes_on_over_the_wire(
    clew: Clew, cast: Cast
) -> None:
    cast.says("lead", [delegate("1", "ann", "a"), delegate("2", "bob", "b")], "Done.")
    cast.says("bob", [call("1", "send", to="zoe")])
    bob: Json = {"name": "bob", "tools": [tool(clew, requires_confirmation=True)]}
    path = lead(clew, "ann", bob)
    clew("run", "-q", "--team", path, "-s", "s", "go", code=6)
    assert clew("continue", "-q", "-s", "s", "--confirm").out == "Done.\n"
    assert [len(cast.sent(name)) for name in ("lead", "ann", "bob")] == [2, 1, 2]
    assert clean(clew)


@pytest.mark.slow
def test_equal_ids_of_calls_are_made_different_everywhere_in_a_session(
    clew: Clew, cast: Cast
) -> None:
    for _ in range(2):
        cast.says("lead", [delegate("1", "ann", "a"), delegate("1", "bob", "b")], "Done.")
        for name in ("ann", "bob"):
            cast.says(name, [call("1", "send", to=name), call("1", "send", to=name)], "ok")
    send = tool(clew)
    path = lead(
        clew,
        *({"name": n, "tools": [send], "add_history_to_context": True} for n in ("ann", "bob")),
    )
    for word in ("run", "continue"):
        clew(word, "-q", "--team", path, "-s", "s", "go")
    ids = [
        each["id"]
        for line in runs(clew)
        for message in line["messages"]
        for each in message.get("tool_calls", [])
        if line["kind"] == "agent"
    ]
    assert len(ids) == len(set(ids)) == 8
    assert clean(clew)


@pytest.mark.slow
def test_history_tells_exactly_what_was_sent_to_leader_and_members(clew: Clew, cast: Cast) -> None:
    cast.says("lead", [delegate("1", "ann", "t1")], [delegate("2", "bob", "t2")], "first")
    cast.says("lead", [delegate("1", "ann", "t3")], "second")
    ann: Json = {"name": "ann", "add_history_to_context": True, "instructions": "Count."}
    keys = {"add_team_history_to_members": True, "share_member_interactions": True}
    path = lead(clew, ann, "bob", **keys)
    for word in ("one", "two"):
        clew("run", "-q", "--history", "--team", path, "-s", "s", word)
    sent = {"ann": cast.sent("ann"), "bob": cast.sent("bob"), "team": cast.sent("lead")[2::2]}
    assert [len(requests) for requests in sent.values()] == [2, 1, 2]
    for line in runs(clew):
        shown = clew("history", "-s", "s", f"--as-sent={line['run_id']}", "--json").lines
        request = sent[line["name"]].pop(0)
        assert [(m["role"], m["content"]) for m in shown] == [
            (m["role"], m.get("content") or "") for m in request
        ]
