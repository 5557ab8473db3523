"""Teams that work through a list of tasks."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, tool
from tests.taskteams import create, execute, says, team, told, update, worked

Json = dict[str, Any]
LIST = call("", "list_tasks")
THREE = [create("one"), create("two", "b"), create("three", "a", "1", "2")]


def test_each_task_is_a_run_of_its_member_and_the_leader_answers_in_the_end(clew: Clew) -> None:
    leader = says(clew, "leader", THREE, [execute("1"), execute("2")], [execute("3")], "All done.")
    line = clew("run", "--team", team(clew, leader), "-s", "s", "go", "--json").json
    lines = clew.stored("s")
    assert line["content"] == "All done."
    assert sorted(worked(lines)[:2]) == ["one", "two"]
    assert worked(lines)[2:] == ["three"]
    assert told(line, "execute") == ["a did one", "b did two", "a did three"]
    assert [one["name"] for one in line["members"]][2:] == ["a"]
    assert {one["child_run_id"] for one in line["tools"] if "child_run_id" in one} == {
        one["run_id"] for one in lines[:3]
    }
    clew("sessions", "verify", "-s", "s")


def test_a_member_is_told_the_results_that_its_task_waited_for(clew: Clew) -> None:
    leader = says(clew, "leader", THREE, [execute("1"), execute("2")], [execute("3")], "Done.")
    clew("run", "--team", team(clew, leader), "-s", "s", "go")
    first, _, last, _ = clew.stored("s")
    assert first["messages"][-2]["content"] == first["input"]
    asked = last["messages"][-2]["content"]
    assert asked.index("a did one") < asked.index("b did two") < asked.index("</task_results>")
    assert asked.endswith("\n\nthree")


def test_a_description_goes_with_the_title(clew: Clew) -> None:
    leader = says(clew, "leader", [create("one", description="Thus.")], [execute("1")], "Done.")
    defined = team(clew, leader)
    says(clew, "a", "did it", asked="one\n\nThus.")
    line = clew("run", "--team", defined, "go", "--json").json
    assert told(line, "execute") == ["did it"]


def test_tasks_of_one_answer_are_done_at_once(clew: Clew) -> None:
    meet = 'touch "$0"; for i in $(seq 600); do [ -e "$1" ] && exit; sleep 0.05; done; exit 1'
    members = []
    for name, task, other in (("a", "one", "b"), ("b", "two", "a")):
        path = clew.cwd / f"{name}.json"
        path.write_text(json.dumps({"name": "meet", "run": ["sh", "-c", meet, name, other]}))
        model = says(clew, f"met-{name}", [call("m", "meet")], f"{name} met", asked=task)
        members.append({"name": name, "model": model, "tools": [str(path)]})
    create_both = [create("one"), create("two", "b")]
    leader = says(clew, "leader", create_both, [execute("1"), execute("2")], "Done.")
    clew("run", "--team", team(clew, leader, members=members), "-s", "s", "go")
    assert [one["tool_call_error"] for line in clew.stored("s")[:2] for one in line["tools"]] == [
        False,
        False,
    ]


def test_tasks_are_numbered_in_the_order_of_the_calls_and_can_be_executed_at_once(
    clew: Clew,
) -> None:
    leader = says(clew, "leader", [execute("2"), *THREE[:2], execute("1"), LIST], "Done.")
    line = clew("run", "--team", team(clew, leader), "go", "--json").json
    assert told(line) == [
        "b did two",
        "created: task 1 [pending] one (a)",
        "created: task 2 [pending] two (b)",
        "a did one",
        "- 1 [pending] one (a)\n- 2 [pending] two (b)",
    ]


def test_a_leader_that_answers_too_early_is_asked_to_go_on(clew: Clew) -> None:
    leader = says(
        clew, "leader", THREE[:2], "Early.", [execute("1")], "Too early.", [execute("2")], "Now."
    )
    events = clew("run", "--team", team(clew, leader), "-o", "stream-json", "go").lines
    line = events[-1]["run"]
    asked = [one["content"] for one in line["messages"] if one["role"] == "user"]
    assert (line["status"], line["content"]) == ("COMPLETED", "Now.")
    assert "- 1 [pending] one (a)\n- 2 [pending] two (b)\n" in asked[1]
    assert "1 [" not in asked[2]
    told_of = [one for one in events if one["event"] == "TeamTaskIterationStarted"]
    assert [(one["iteration"], one["max_iterations"]) for one in told_of] == [(2, 10), (3, 10)]
    assert told_of[1]["open_tasks"] == ["2 [pending] two (b)"]
    answered = [one["content"] for one in events if one["event"] == "TeamRunContent"]
    assert "".join(answered) == "Now."


def test_people_see_which_task_a_member_does_and_why_the_leader_goes_on(clew: Clew) -> None:
    leader = says(clew, "leader", THREE[:2], "Early.", [execute("2")], [execute("1")], "Done.")
    notes = clew("run", "--team", team(clew, leader), "-v", "go").err
    told = ["not done: 1 [pending] one (a); 2 [pending]", "asking b: task 2\n", "a: task 1\n"]
    places = [notes.index(each) for each in told]
    assert places == sorted(places)


def test_a_run_that_used_up_its_iterations_ends_by_that_limit_and_can_be_gone_on_with(
    clew: Clew,
) -> None:
    leader = says(clew, "leader", THREE[:2], [execute("1")], "Early.", "Still.", asked="go")
    defined = team(clew, leader, max_iterations=2)
    ended = clew("run", "--team", defined, "-s", "s", "--json", "go", code=5)
    line = ended.json
    assert (line["status"], line["content"]) == ("ERROR", "Still.")
    assert [one["content"] for one in line["messages"]].count("Still.") == 1
    assert "limit of 2 iterations" in line["error"]["message"]
    assert "2 [pending] two (b)" in line["error"]["message"]
    assert "1 [" not in line["error"]["message"]
    assert "max_iterations" in line["error"]["hint"]
    clew.cwd.parent.joinpath("leader.jsonl").unlink()
    says(clew, "leader", THREE[:2], [execute("1")], "Early.", [execute("2")], "Done.")
    assert clew("continue", "-s", "s", "--resume").out == "Done.\n"
    assert worked(clew.stored("s")) == ["one", "two"]


def test_a_leader_that_sets_up_no_task_just_answers(clew: Clew) -> None:
    assert clew("run", "--team", team(clew, says(clew, "leader", "Hello.")), "go").out == "Hello.\n"


def test_a_task_waits_for_those_that_it_depends_on(clew: Clew) -> None:
    early = [execute("1"), execute("3")]
    leader = says(clew, "leader", THREE, early, [execute("2")], [execute("3")], "Done.")
    line = clew("run", "--team", team(clew, leader), "-s", "s", "go", "--json").json
    assert told(line, "execute")[1].startswith("task 3 waits for others: 1 (pending), 2 (pending);")
    assert worked(clew.stored("s")) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (execute("7"), "there is no task '7'; the tasks are: 1"),
        (update("7", "skipped"), "there is no task '7'"),
        (create("x", "zz"), "'zz' is not one of ['a', 'b']"),
        (execute("1", member_id="zz"), "'zz' is not one of ['a', 'b']"),
        (create("x", "a", "2"), "there is no task '2'"),
        (create("x", "a", "3"), "there is no task '3'"),
        (create(" "), "the title is empty"),
        (update("1", "done"), "'done' is not one of"),
        (call("", "execute_task", task_id=7), "there is no task '7'"),
        (
            call("", "execute_task", task_id=[1]),
            "the arguments do not fit at $.task_id: [1] is not",
        ),
        (call("", "execute_task"), "'task_id' is a required property"),
        (call("", "delegate_task_to_member", member_id="a", task="x"), "there is no tool"),
    ],
)
def test_a_leader_is_told_what_cannot_be_done_and_goes_on(clew: Clew, bad: Json, why: str) -> None:
    """A cycle cannot arise: a task waits for earlier ones only."""
    leader = says(clew, "leader", [create("one")], [bad], [LIST], [execute("1")], "Done.")
    line = clew("run", "--team", team(clew, leader), "-s", "s", "go", "--json").json
    assert why in line["tools"][1]["result"]
    assert line["tools"][1]["tool_call_error"]
    assert told(line, "list") == ["- 1 [pending] one (a)"]
    assert (line["content"], worked(clew.stored("s"))) == ("Done.", ["one"])


def test_a_task_may_be_named_by_a_number_too(clew: Clew) -> None:
    waits = call("", "create_task", title="three", member_id="b", depends_on=[1, "1", 2])
    setting_up = [create("one"), create("two"), waits]
    skip = call("", "update_task_status", task_id=2, status="skipped")
    doing = [call("", "execute_task", task_id=1), skip]
    last = [call("", "execute_task", task_id=3)]
    leader = says(clew, "leader", setting_up, doing, [LIST], last, "Done.")
    line = clew("run", "--team", team(clew, leader), "-s", "s", "go", "--json").json
    assert told(line, "update") == ["task 2 is skipped"]
    assert told(line, "list") == [
        "- 1 [completed] one (a)\n- 2 [skipped] two (a)\n- 3 [pending] three (b, after 1, 2)"
    ]
    assert worked(clew.stored("s")) == ["one", "three"]


def test_a_task_that_failed_is_told_and_can_be_done_by_another_member(clew: Clew) -> None:
    leader = says(
        clew,
        "leader",
        [create("nobody knows"), create("two", "b", "1")],
        [execute("1")],
        [execute("2"), LIST],
        [execute("1", member_id="b")],
        [execute("2")],
        "Done.",
    )
    defined = team(clew, leader)
    clew.recording(("nobody knows", "b knew"), ("two", "b did two"), name="b.jsonl")
    line = clew("run", "--team", defined, "-s", "s", "go", "--json").json
    failed, refused, again, last = told(line, "execute")
    assert failed.startswith("a has no answer, its run is ERROR")
    assert refused.startswith("task 2 waits for others: 1 (failed);")
    assert told(line, "list") == ["- 1 [failed] nobody knows (a)\n- 2 [pending] two (b, after 1)"]
    assert (again, last, line["status"]) == ("b knew", "b did two", "COMPLETED")
    assert [one["status"] for one in line["members"]] == ["ERROR", "COMPLETED", "COMPLETED"]


def test_a_task_that_failed_keeps_no_leader_from_answering_but_those_that_wait_for_it_do(
    clew: Clew,
) -> None:
    tasks = [create("nobody knows"), create("two", "b", "1")]
    skip = [update("2", "skipped", result="no need")]
    leader = says(clew, "leader", tasks, [execute("1")], "Sorry.", skip, "Sorry again.")
    line = clew("run", "--team", team(clew, leader), "go", "--json").json
    asked = [one["content"] for one in line["messages"] if one["role"] == "user"]
    assert "- 2 [pending] two (b, after 1)\n" in asked[1]
    assert "nobody knows" not in asked[1]
    assert line["content"] == "Sorry again."


def test_what_is_settled_is_not_done_and_tells_those_that_wait(clew: Clew) -> None:
    settle = [update("1", "completed", result="I knew"), update("2", "skipped", result="no need")]
    late = [execute("1"), update("2", "completed"), execute("3")]
    leader = says(clew, "leader", THREE, settle, late, "Done.")
    line = clew("run", "--team", team(clew, leader), "-s", "s", "go", "--json").json
    assert [one["tool_call_error"] for one in line["tools"][5:]] == [True, True, False]
    assert told(line)[5].startswith("task 1 is completed")
    member = clew.stored("s")[0]
    assert "completed: I knew" in member["messages"][-2]["content"]
    assert "skipped: no need" in member["messages"][-2]["content"]


def test_a_task_is_done_once_however_often_it_is_executed(clew: Clew) -> None:
    twice = [execute("1"), execute("1", member_id="b")]
    leader = says(clew, "leader", [create("one")], twice, [execute("1")], "Done.")
    line = clew("run", "--team", team(clew, leader), "-s", "s", "go", "--json").json
    assert len(worked(clew.stored("s"))) == 1
    assert sorted(one["tool_call_error"] for one in line["tools"][1:]) == [False, True, True]


def test_each_run_has_a_list_of_its_own_which_leaves_no_trace_in_state_or_history(
    clew: Clew,
) -> None:
    leader = says(clew, "leader", [create("one")], [execute("1")], "Done.")
    says(clew, "leader", [LIST], "Nothing.", asked="more")
    defined = team(clew, leader, add_history_to_context=True)
    clew("run", "--team", defined, "-s", "s", "go")
    line = clew("continue", "-s", "s", "more", "--json").json
    assert told(line) == ["The list is empty."]
    assert line["session_state"] == {}
    sent = clew("history", "-s", "s", f"--as-sent={line['run_id']}", "--json").out
    roles = [json.loads(each)["role"] for each in sent.splitlines()]
    assert roles[:4] == ["system", "user", "assistant", "user"]


def test_keeping_the_list_counts_for_no_limit_of_tool_calls(clew: Clew) -> None:
    leader = says(clew, "leader", THREE[:2], [execute("1"), execute("2")], "Done.")
    line = clew("run", "--team", team(clew, leader, tool_call_limit=1), "go", "--json").json
    assert not any(one["tool_call_error"] for one in line["tools"])


def test_shared_interactions_tell_members_of_the_tasks_that_are_done(clew: Clew) -> None:
    leader = says(clew, "leader", THREE[:2], [execute("1")], [execute("2")], "Done.")
    clew("run", "--team", team(clew, leader, share_member_interactions=True), "-s", "s", "go")
    asked = clew.stored("s")[1]["messages"][-2]["content"]
    assert "- member: a\n  task: one\n  answer: a did one\n" in asked


def test_an_answer_is_weighed_against_its_schema_when_no_task_is_left(clew: Clew) -> None:
    leader = says(clew, "leader", [create("one")], "Early.", [execute("1")], '{"n": 1}')
    run = ("run", "--team", team(clew, leader), "--schema", "n int", "--json", "go")
    line = clew(*run).json
    assert line["data"] == {"n": 1}
    assert [one["kind"] for one in line["metrics"]["details"]] == ["model"] * 4


def test_a_member_may_be_such_a_team_itself(clew: Clew) -> None:
    leader = says(clew, "leader", [create("both", "inner")], [execute("1")], "Done.")
    inner = says(
        clew, "inner", THREE[:2], "Early.", [execute("1"), execute("2")], "Both.", asked="both"
    )
    within = json.loads(Path(team(clew, inner, name="inner")).read_text())
    line = clew(
        "run", "--team", team(clew, leader, members=[within]), "-s", "s", "go", "--json"
    ).json
    assert told(line, "execute") == ["Both."]
    assert sorted(worked(clew.stored("s"))) == ["both", "one", "two"]
    clew("sessions", "verify", "-s", "s")


@pytest.mark.parametrize(
    ("keys", "why"),
    [({"max_iterations": 0}, "greater than or equal to 1"), ({"mode": "task"}, "'tasks'")],
)
def test_a_definition_that_says_nonsense_is_refused(clew: Clew, keys: Json, why: str) -> None:
    defined = team(clew, says(clew, "leader", "Hello."), **keys)
    assert why in clew("run", "--team", defined, "go", code=2).err


@pytest.mark.parametrize("mode", ["tasks", "coordinate"])
def test_a_tool_of_the_leader_cannot_have_a_name_that_teams_use(clew: Clew, mode: str) -> None:
    own = tool(clew, "create_task")
    defined = team(clew, says(clew, "leader", "Hello."), tools=[own], mode=mode)
    assert "'create_task'" in clew("run", "--team", defined, "go", code=2).err
