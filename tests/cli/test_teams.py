"""Teams from the command line: who is asked what, and what is on record then."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.defined import define, write
from tests.paused import call, plays, sent, tool
from tests.teams import Json, defined, delegate, inline, member, names, run_of, runs, team, told
from tests.torture.checker import check


def clean(clew: Clew, session: str = "s") -> bool:
    """Whether both judges find nothing wrong with a session."""
    clew("sessions", "verify", "-s", session)
    return check(clew.session_file(session)) == []


def test_members_are_found_by_name_by_file_and_as_python_objects(clew: Clew) -> None:
    define(clew, json.dumps({k: v for k, v in member(clew, "ann").items() if k != "name"}), "ann")
    defined(clew, "bob", **member(clew, "bob"))
    module = f"from clew.core import Agent\ncat = Agent(**{member(clew, 'cat')!r})\n"
    write(clew.cwd / "people.py", module)
    turns = [[delegate(f"d-{each}", each) for each in ("ann", "bob", "cat", "dan")]]
    path = team(clew, "ann", "./bob.yaml", "people:cat", member(clew, "dan"), turns=turns)
    clew("run", "-q", "--team", path, "-s", "s", "go")
    assert sorted(names(clew)[:-1]) == [
        (each, "COMPLETED") for each in ("ann", "bob", "cat", "dan")
    ]
    assert told(run_of(clew, "team")) == [
        f"{each} is done" for each in ("ann", "bob", "cat", "dan")
    ]


def test_a_team_is_found_by_its_name_and_is_a_python_object_too(clew: Clew) -> None:
    define(clew, json.dumps(inline(clew, member(clew, "ann"))), "crew")
    assert clew("run", "-q", "--team", "crew", "go").out == "All done.\n"
    keys = inline(clew, member(clew, "bob"), name="two")
    source = (
        "from clew.core import Agent, Team\n"
        f"made = Team(model={keys['model']!r}, members=[Agent(**{keys['members'][0]!r})])\n"
    )
    write(clew.cwd / "people.py", source)
    line = clew("run", "-q", "--team", "people:made", "--json", "go").json
    assert (line["name"], line["kind"], line["content"]) == ("made", "team", "All done.")


def test_a_member_without_a_model_has_the_leaders_also_where_the_command_chooses_it(
    clew: Clew,
) -> None:
    path = team(clew, {"name": "ann"}, member(clew, "bob"))
    turns = [[delegate("1", "ann"), delegate("2", "bob")]]
    both = plays(clew, *turns, answer="Chosen.", name="both")
    with (clew.cwd.parent / "both.jsonl").open("a") as file:
        file.write(json.dumps({"input": "do ann", "content": "by the leader's model"}) + "\n")
    line = clew("run", "-q", "--team", path, "-m", both, "-s", "s", "--json", "go").json
    assert line["content"] == "Chosen."
    assert told(line) == ["by the leader's model", "bob is done"]
    assert run_of(clew, "ann")["model"] == both
    assert run_of(clew, "bob")["model"] != both


def test_a_team_in_a_team_has_runs_three_deep_each_after_those_inside_it(clew: Clew) -> None:
    inner = inline(
        clew, member(clew, "ann"), name="inner", asked="do inner", answer="inner is done"
    )
    path = team(clew, inner, member(clew, "bob"), name="outer")
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    by_name = {each["name"]: each for each in runs(clew)}
    assert by_name["ann"]["parent_run_id"] == by_name["inner"]["run_id"]
    assert by_name["inner"]["parent_run_id"] == by_name["outer"]["run_id"] == line["run_id"]
    assert {by_name[each]["root_run_id"] for each in ("ann", "inner", "bob")} == {line["run_id"]}
    assert told(line) == ["inner is done", "bob is done"]
    requests = {name: each["total_metrics"]["requests"] for name, each in by_name.items()}
    assert requests == {"ann": 1, "inner": 3, "bob": 1, "outer": 6}
    assert line["session_metrics"]["requests"] == 6
    assert clean(clew)


def test_a_silent_member_is_told_of_and_its_run_is_kept(clew: Clew) -> None:
    path = team(clew, member(clew, "ann", answer=""), member(clew, "bob"))
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert line["content"] == "All done."
    assert told(line) == ["ann gave no answer", "bob is done"]
    assert [each["tool_call_error"] for each in line["tools"]] == [True, False]
    assert clean(clew)


def test_a_member_whose_answer_does_not_fit_its_schema_has_failed_and_the_team_goes_on(
    clew: Clew,
) -> None:
    ann = member(clew, "ann", answer="no json", output_schema="n int", limits={"repairs": 0})
    path = team(clew, ann, member(clew, "bob"))
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert (line["status"], run_of(clew, "ann")["exit_code"]) == ("COMPLETED", 4)
    assert "ann" in told(line)[0] and "no json" in told(line)[0]
    assert clean(clew)


def test_a_member_that_reaches_its_own_limit_has_failed_and_the_team_goes_on(clew: Clew) -> None:
    turns = [[call("1", "send", to="x")], [call("2", "send", to="y")]]
    ann = member(clew, "ann", *turns, tools=[tool(clew)], limits={"max_turns": 1})
    line = clew("run", "-q", "--team", team(clew, ann), "-s", "s", "--json", "go").json
    assert (line["status"], run_of(clew, "ann")["exit_code"]) == ("COMPLETED", 5)
    assert "the limit of 1 turn" in told(line)[0]
    assert clean(clew)


def test_a_member_that_cannot_begin_is_told_of_and_has_no_run(clew: Clew) -> None:
    ann = member(clew, "ann", input_schema={"type": "object"})
    path = team(clew, ann, member(clew, "bob"))
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert told(line)[0].startswith("ann could not begin: ")
    assert names(clew) == [("bob", "COMPLETED"), ("team", "COMPLETED")]
    assert clean(clew)


def test_in_broadcast_the_schema_is_the_leaders_only(clew: Clew) -> None:
    ann = member(clew, "ann", asked="go")
    path = team(clew, ann, mode="broadcast", output_schema="n int", answer='{"n": 8}')
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert line["data"] == {"n": 8}
    assert (run_of(clew, "ann")["status"], run_of(clew, "ann")["data"]) == ("COMPLETED", None)


def test_in_broadcast_all_members_are_asked_at_once(clew: Clew) -> None:
    meet = (
        'me=$(cat); case "$me" in *ann*) a=ann b=bob;; *) a=bob b=ann;; esac; touch "$a"; '
        'for i in $(seq 600); do [ -e "$b" ] && echo met && exit; sleep 0.1; done; exit 1'
    )
    tools = [tool(clew, "meet", meet)]
    made = [
        member(clew, each, [call("1", "meet", to=each)], asked="go", tools=tools)
        for each in ("ann", "bob")
    ]
    clew("run", "-q", "--team", team(clew, *made, mode="broadcast"), "-s", "s", "go")
    assert {run_of(clew, each)["tools"][0]["result"] for each in ("ann", "bob")} == {"met"}
    assert clean(clew)


def test_a_dry_run_shows_what_the_leader_is_sent_and_writes_nothing(clew: Clew) -> None:
    path = team(clew, member(clew, "ann", description="counts"), instructions="Lead.")
    shown = clew("run", "--team", path, "--dry-run", "--json", "go").json
    said = {message["role"]: message["content"] for message in shown["messages"]}
    assert said["system"].startswith("Lead.")
    assert "- ann: counts" in said["system"]
    assert not clew.home.exists()


def test_another_system_prompt_keeps_the_introduction_of_the_team(clew: Clew) -> None:
    path = team(clew, member(clew, "ann", description="counts"), system="Old.")
    line = clew("run", "-q", "--team", path, "--system", "New.", "-s", "s", "--json", "go").json
    system = line["messages"][0]["content"]
    assert system.startswith("New.") and "Old." not in system
    assert "- ann: counts" in system
    assert [m["role"] for m in run_of(clew, "ann")["messages"]] == ["user", "assistant"]


def test_without_a_store_a_team_runs_and_its_members_still_see_the_state(clew: Clew) -> None:
    updates = {"session_state_updates": {"seen": "by ann"}}
    ann = member(
        clew, "ann", [call("1", "update_session_state", **updates)], enable_agentic_state=True
    )
    bob = member(clew, "bob", instructions="It was {seen}.")
    path = team(clew, ann, bob, turns=[[delegate("1", "ann")], [delegate("2", "bob")]])
    done = clew("run", "-q", "--team", path, "--no-store", "-o", "stream-json", "-v", "go")
    line = done.lines[-1]["run"]
    assert (line["status"], line["session_state"]) == ("COMPLETED", {"seen": "by ann"})
    assert told(line) == ["ann is done", "bob is done"]
    assert not clew.home.exists()


def test_files_reach_the_leader_and_in_broadcast_the_members(clew: Clew) -> None:
    (clew.cwd / "note.txt").write_text("remember the milk")
    path = team(clew, member(clew, "ann", asked="go"), mode="broadcast")
    line = clew("run", "-q", "--team", path, "-f", "note.txt", "-s", "s", "--json", "go").json
    assert [each["name"] for each in line["files"]] == ["note.txt"]
    assert any("remember the milk" in str(m) for m in line["messages"])
    assert any("remember the milk" in str(m) for m in run_of(clew, "ann")["messages"])


def test_params_reach_those_who_have_them_and_are_kept_on_continue(clew: Clew) -> None:
    ann = member(clew, "ann", params={"tone": "dry"}, instructions="Be {tone}.")
    bob = member(clew, "bob")
    path = team(clew, ann, bob, params={"goal": "win"}, instructions="We {goal}.")
    options = ["--param", "tone=loud", "--param", "goal=lose"]
    clew("run", "-q", "--team", path, "-s", "s", *options, "go")
    clew("continue", "-q", "-s", "s", "--no-history", "go")
    for line in (line for line in runs(clew) if line["name"] == "team"):
        assert line["messages"][0]["content"].startswith("We lose.")
        assert line["options"]["param"] == {"tone": "loud", "goal": "lose"}
    systems = [x["messages"][0]["content"] for x in runs(clew) if x["name"] == "ann"]
    assert systems == ["Be loud."] * 2
    wrong = clew("run", "--team", path, "--param", "ton=x", "go", code=2).err
    assert "no param 'ton'" in wrong and "goal, tone" in wrong


def test_a_param_of_a_member_that_has_to_be_given_is_asked_for_before_anything_is_sent(
    clew: Clew,
) -> None:
    ann = member(clew, "ann", params={"tone": None}, instructions="Be {tone}.")
    wrong = clew("run", "--team", team(clew, ann), "-s", "s", "go", code=2).err
    assert "tone" in wrong
    assert not clew.session_file("s").exists()


def test_continue_goes_on_with_the_team_that_the_session_was_run_with(clew: Clew) -> None:
    path = team(clew, member(clew, "ann"))
    clew("run", "-q", "--team", path, "-s", "s", "go")
    line = clew("continue", "-q", "-s", "s", "--json", "go").json
    assert (line["kind"], line["name"], line["history"]["runs"]) == ("team", "team", 1)


def test_events_of_members_stand_between_those_of_the_team_and_say_whose_they_are(
    clew: Clew,
) -> None:
    path = team(clew, member(clew, "ann"))
    events = clew("run", "-q", "--team", path, "-o", "stream-json", "go").lines
    shown = [each["event"] for each in events]
    assert (shown[0], shown[-1]) == ("TeamRunStarted", "TeamRunCompleted")
    assert [each["event"] for each in events if "run" in each] == ["TeamRunCompleted"]
    inner = [each for each in events if each.get("name") == "ann"]
    assert (inner[0]["event"], inner[-1]["event"]) == ("RunStarted", "RunCompleted")
    assert {each["parent_run_id"] for each in inner} == {events[0]["run_id"]}
    text = "".join(each["content"] for each in events if each["event"] == "TeamRunContent")
    assert text == events[-1]["run"]["content"] == "All done."


@pytest.mark.parametrize("mode", ["coordinate", "route", "broadcast"])
@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_the_text_that_a_team_says_is_its_answer_once(clew: Clew, mode: str, stream: str) -> None:
    ann = member(clew, "ann", asked="go" if mode == "broadcast" else None)
    path = team(clew, ann, mode=mode)
    answer = "ann is done" if mode == "route" else "All done."
    assert clew("run", "-q", "--team", path, stream, "go").out == f"{answer}\n"
    events = clew("run", "-q", "--team", path, stream, "-o", "stream-json", "go").lines
    said = [each["content"] for each in events if each["event"] == "TeamRunContent"]
    assert "".join(said) == answer


def test_a_tool_of_the_leader_and_members_can_be_called_in_one_answer(clew: Clew) -> None:
    turns = [[call("1", "send", to="x"), delegate("2", "ann"), call("3", "send", to="y")]]
    path = team(clew, member(clew, "ann"), turns=turns, tools=[tool(clew)])
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert told(line) == ["sent", "ann is done", "sent"]
    assert len(sent(clew)) == 2
    assert clean(clew)


def test_one_member_may_be_given_two_tasks_at_once(clew: Clew) -> None:
    turns = [[delegate("1", "ann"), delegate("2", "ann")]]
    line = clew(
        "run",
        "-q",
        "--team",
        team(clew, member(clew, "ann"), turns=turns),
        "-s",
        "s",
        "--json",
        "go",
    ).json
    assert told(line) == ["ann is done"] * 2
    assert len({each["child_run_id"] for each in line["tools"]}) == 2
    assert clean(clew)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"member_id": "ann", "task": "  "}, "empty"),
        ({"member_id": "ann"}, "task"),
        ({"task": "x"}, "member_id"),
        ({"member_id": "ann", "task": "x", "more": 1}, "more"),
        ({"member_id": 7, "task": "x"}, "7"),
    ],
    ids=str,
)
def test_of_a_task_that_is_not_one_the_leader_is_told(
    clew: Clew, arguments: dict[str, Any], why: str
) -> None:
    turns = [[call("1", "delegate_task_to_member", **arguments)]]
    path = team(clew, member(clew, "ann"), turns=turns)
    line: Json = clew("run", "-q", "--team", path, "-s", "s", "--json", "go").json
    assert line["status"] == "COMPLETED"
    assert why in told(line)[0]
    assert len(runs(clew)) == 1
    assert clean(clew)


@pytest.mark.parametrize("before", [False, True], ids=["new", "old"])
def test_a_team_of_which_nothing_is_kept_counts_its_members_for_the_session_too(
    clew: Clew, before: bool
) -> None:
    inner = inline(clew, member(clew, "ann"), name="inner", asked="do inner")
    path = team(clew, inner, member(clew, "bob"))
    if before:
        clew("run", "-q", "--team", path, "-s", "s", "go")
    asked = ("run", "-q", "--team", path, "-s", "s", "--json", "go")
    unkept = clew(*asked, "--no-store").json["session_metrics"]
    kept = clew(*asked).json["session_metrics"]
    assert {**unkept, "duration": 0} == {**kept, "duration": 0}
    assert unkept["requests"] == (12 if before else 6)
