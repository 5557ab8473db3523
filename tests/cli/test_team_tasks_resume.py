"""Teams that work through a list of tasks, stopped on the way: the list is there again."""

import json
from pathlib import Path
from typing import Any

from clew.core import Agent, Team
from tests.conftest import Clew, eventually
from tests.paused import call, sent, tool
from tests.taskteams import create, execute, says, team, told, update, worked
from tests.torture.checker import check

Json = dict[str, Any]
LIST = call("", "list_tasks")
THREE = [create("one"), create("two", "b"), create("three", "a", "1", "2")]
WAITS = "touch begun; for i in $(seq 1200); do [ -e go ] && break; sleep 0.05; done; echo ok"


def with_a_waiting_member(clew: Clew, leader: str, script: str, **more: Any) -> str:
    """A team whose member b calls a tool for each task."""
    asked = tool(clew, script=script, **more)
    defined = team(clew, leader)
    a, b = json.loads(Path(defined).read_text())["members"]
    for task in ("two", "three"):
        model = says(clew, "b-sends", [call("t", to="x")], f"b did {task}", asked=task)
        b |= {"model": model, "tools": [asked]}
    return team(clew, leader, members=[a, b])


def sound(clew: Clew) -> None:
    """See to it that the session's lines agree with one another, for clew and without it."""
    clew("sessions", "verify", "-s", "s")
    assert check(clew.session_file("s")) == []


def killed(clew: Clew, *arguments: str) -> None:
    """Run until the member's tool has begun, then `kill -9`."""
    begun = clew.cwd / "begun"
    begun.unlink(missing_ok=True)
    process = clew.start(*arguments)
    try:
        eventually(begun.exists)
    finally:
        process.kill()
        process.communicate()


def test_a_pause_inside_a_task_is_settled_later_and_no_task_is_done_again(clew: Clew) -> None:
    both = [execute("1"), execute("2")]
    leader = says(clew, "leader", THREE, both, [LIST, execute("3")], "Done.")
    trace = 'printf "%s\\n" "$(cat)" >> sent; echo sent'
    defined = with_a_waiting_member(clew, leader, trace, requires_confirmation=True)
    paused = clew("run", "--team", defined, "-s", "s", "--json", "go", code=6).json
    assert [one["inside"]["name"] for one in paused["requirements"]] == ["b"]
    line = clew("continue", "-s", "s", "--confirm", "--json").json
    shown = "- 1 [completed] one (a)\n- 2 [completed] two (b)\n- 3 [pending] three (a, after 1, 2)"
    assert told(line) == ["b did two", shown, "a did three"]
    assert (line["content"], sent(clew)) == ("Done.", [{"to": "x"}])
    asked = worked(clew.stored("s"))
    assert (sorted(asked[:2]), asked[2:]) == (["one", "two"], ["two", "three"])  # two: paused first


def test_a_pause_two_teams_down_is_settled_there(clew: Clew) -> None:
    inner = says(clew, "inner", THREE[:2], [execute("1"), execute("2")], "Both.", asked="both")
    trace = 'printf "%s\\n" "$(cat)" >> sent; echo sent'
    within = with_a_waiting_member(clew, inner, trace, requires_confirmation=True)
    member = json.loads(Path(within).read_text()) | {"name": "inner"}
    tasks = [create("both", "inner"), create("then", "inner", "1")]
    leader = says(clew, "leader", tasks, [execute("1")], [update("2", "skipped"), LIST], "Done.")
    defined = team(clew, leader, members=[member])
    paused = clew("run", "--team", defined, "-s", "s", "--json", "go", code=6).json
    assert [one["inside"]["name"] for one in paused["requirements"]] == ["inner/b"]
    line = clew("continue", "-s", "s", "--confirm", "--json").json
    shown = "- 1 [completed] both (inner)\n- 2 [skipped] then (inner, after 1)"
    assert told(line) == ["Both.", "task 2 is skipped", shown]
    asked = worked(clew.stored("s"))
    assert (asked.count("one"), asked.count("two"), sent(clew)) == (1, 2, [{"to": "x"}])
    sound(clew)


def test_a_run_killed_in_its_second_task_goes_on_there_and_does_not_repeat_the_first(
    clew: Clew,
) -> None:
    leader = says(clew, "leader", THREE, [execute("1")], [execute("2")], [execute("3")], "Done.")
    killed(clew, "run", "--team", with_a_waiting_member(clew, leader, WAITS), "-s", "s", "go")
    (clew.cwd / "go").touch()
    line = clew("continue", "-s", "s", "--resume", "--json").json
    lines = clew.stored("s")
    assert line["content"] == "Done."
    assert told(line) == ["b did two", "a did three"]
    ran = [(one["input"], one["status"]) for one in lines if one["parent_run_id"]]
    assert sorted(ran[:2]) == [("one", "COMPLETED"), ("two", "INTERRUPTED")]
    assert ran[2:] == [("two", "COMPLETED"), ("three", "COMPLETED")]
    went_on = next(one for one in lines if one["input"] == "two" and one["resumes"])
    assert went_on["resumes"] == next(one for one in lines if one["input"] == "two")["run_id"]
    asked = next(one for one in lines if one["input"] == "three")["messages"][-2]["content"]
    assert "a did one" in asked
    sound(clew)


def test_a_run_killed_twice_still_has_its_list(clew: Clew) -> None:
    """The second one's line has its own calls only: the list is that of the whole chain."""
    tasks = [*THREE[:2], create("three", "b", "1", "2")]
    leader = says(clew, "leader", tasks, *([execute(task)] for task in "123"), [LIST], "Done.")
    killed(clew, "run", "--team", with_a_waiting_member(clew, leader, WAITS), "-s", "s", "go")
    killed(clew, "continue", "-s", "s", "--resume")
    (clew.cwd / "go").touch()
    line = clew("continue", "-s", "s", "--resume", "--json").json
    done = ("1 [completed] one (a)", "2 [completed] two (b)", "3 [completed] three (b, after 1, 2)")
    assert told(line) == ["b did three", "".join(f"- {task}\n" for task in done).strip()]
    assert worked(clew.stored("s")) == ["one", "two", "two", "three", "three"]
    sound(clew)


def test_a_cancelled_run_keeps_what_was_settled(clew: Clew) -> None:
    settle = [update("1", "skipped", result="no need")]
    leader = says(clew, "leader", THREE, settle, [execute("2")], [LIST, execute("3")], "Done.")
    defined = with_a_waiting_member(clew, leader, WAITS)
    process = clew.start("run", "--team", defined, "-s", "s", "go")
    eventually((clew.cwd / "begun").exists)
    process.terminate()
    process.communicate()
    (clew.cwd / "go").touch()
    line = clew("continue", "-s", "s", "--resume", "--json").json
    assert told(line, "list")[0].startswith("- 1 [skipped] one (a)\n- 2 [completed] two (b)\n")
    assert worked(clew.stored("s")).count("one") == 0


def test_a_new_prompt_leaves_the_task_that_was_under_way_undone(clew: Clew) -> None:
    leader = says(clew, "leader", THREE, [execute("1")], [execute("2")], "Done.")
    killed(clew, "run", "--team", with_a_waiting_member(clew, leader, WAITS), "-s", "s", "go")
    says(clew, "leader", [LIST], "As it stands.", "As it stands.", asked="go\n\nwell?")
    line = clew("continue", "-s", "s", "--resume", "well?", "--json", code=5).json
    shown = "- 1 [completed] one (a)\n- 2 [pending] two (b)\n- 3 [pending] three (a, after 1, 2)"
    assert told(line) == [shown]


def test_a_task_of_a_member_that_is_gone_is_done_by_another(clew: Clew) -> None:
    turns = ([execute("1")], [execute("1", member_id="b")], "Done.")
    leader = says(clew, "leader", [create("one")], "Early.", *turns)
    defined = team(clew, leader, max_iterations=1)
    clew("run", "--team", defined, "-s", "s", "go", code=5)
    only_b = json.loads(Path(defined).read_text())["members"][1:]
    clew.cwd.parent.joinpath("leader.jsonl").unlink()
    says(clew, "leader", [create("one")], *turns)
    team(clew, leader, members=only_b)
    line = clew("continue", "-s", "s", "--resume", "--json").json
    assert told(line) == [
        "the team has no member 'a' any more: say who is to do it",
        "b did one",
    ]


def test_python_has_the_same_teams(clew: Clew, tmp_path: Path) -> None:
    leader = says(clew, "leader", THREE[:2], "Early.", [execute("1"), execute("2")], "Done.")
    members = [
        Agent(clew.recording((task, f"{name} did it"), name=f"{name}.jsonl"), name=name)
        for name, task in (("a", "one"), ("b", "two"))
    ]
    run = Team(leader, members=members, mode="tasks", max_iterations=2).run("go", store=None)
    assert (run.status, run.content) == ("COMPLETED", "Done.")
    once = Team(leader, members=members, mode="tasks", max_iterations=1).run("go", store=None)
    assert (once.status, once.exit_code, once.content) == ("ERROR", 5, "Early.")
