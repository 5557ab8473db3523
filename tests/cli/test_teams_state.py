"""The state that a team's members share, and what is counted of them."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, tool
from tests.teams import Json, delegate, inline, member, names, run_of, runs, team, told
from tests.timed import out_of_time
from tests.torture.checker import check


def setting(clew: Clew, name: str, asked: str | None = None, **state: Any) -> Json:
    """Define a member that changes the state so."""
    change = call("1", "update_session_state", session_state_updates=state)
    return member(clew, name, [change], asked=asked, enable_agentic_state=True)


def commanding(clew: Clew, name: str, script: str, **keys: Any) -> Json:
    """Define a member with a command for a tool, which it calls once."""
    tools = [tool(clew, f"t-{name}", script)]
    return member(clew, name, [call("1", f"t-{name}", to="x")], tools=tools, **keys)


def clean(clew: Clew) -> bool:
    """Whether both judges find nothing wrong with session `s`."""
    clew("sessions", "verify", "-s", "s")
    return check(clew.session_file("s")) == []


def go(clew: Clew, path: str, *options: str, code: int = 0) -> Json:
    line: Json = clew(
        "run", "-q", "--team", path, "-s", "s", *options, "--json", "go", code=code
    ).json
    return line


@pytest.mark.parametrize("how", ["model", "command"])
def test_members_at_work_at_once_change_different_keys_and_both_win(clew: Clew, how: str) -> None:
    if how == "model":
        made = [setting(clew, "ann", n={"a": 1}), setting(clew, "bob", n={"b": 2})]
    else:
        made = [
            commanding(clew, "ann", "clew state set n.a:=1"),
            commanding(clew, "bob", "clew state set n.b:=2"),
        ]
    line = go(clew, team(clew, *made))
    assert line["session_state"] == {"n": {"a": 1, "b": 2}}
    assert "state_conflicts" not in line
    assert clean(clew)


@pytest.mark.parametrize("late", ["ann", "bob"])
def test_of_two_that_change_the_same_key_the_later_in_member_order_wins_and_it_is_on_record(
    clew: Clew, late: str
) -> None:
    """Whoever was later in time."""
    made = []
    for name in ("ann", "bob"):
        wait = call("0", f"wait-{name}", to="x")
        other = "bob" if name == "ann" else "ann"
        script = f"for i in $(seq 600); do [ -e {other}-is-done ] && exit; sleep 0.1; done; exit 1"
        tools = [tool(clew, f"wait-{name}", script if name == late else "true")]
        mark = tool(clew, f"mark-{name}", f"touch {name}-is-done")
        change = call("1", "update_session_state", session_state_updates={"who": name, name: 1})
        turns = [[wait], [change], [call("2", f"mark-{name}", to="x")]]
        made.append(member(clew, name, *turns, tools=[*tools, mark], enable_agentic_state=True))
    line = go(clew, team(clew, *made))
    assert line["session_state"] == {"who": "bob", "ann": 1, "bob": 1}
    ids = [run_of(clew, name)["run_id"] for name in ("ann", "bob")]
    assert line["state_conflicts"] == [{"path": ["who"], "runs": ids}]
    assert clean(clew)


def test_what_members_change_by_commands_is_in_member_order_too(clew: Clew) -> None:
    late = "for i in $(seq 600); do [ -e bob-is-done ] && break; sleep 0.1; done; "
    made = [
        commanding(clew, "ann", f"{late} clew state set who=ann"),
        commanding(clew, "bob", "clew state set who=bob; touch bob-is-done"),
    ]
    line = go(clew, team(clew, *made))
    assert line["session_state"] == {"who": "bob"}
    ids = [run_of(clew, name)["run_id"] for name in ("ann", "bob")]
    assert line["state_conflicts"] == [{"path": ["who"], "runs": ids}]
    assert clean(clew)


def test_the_same_value_from_two_members_is_no_conflict(clew: Clew) -> None:
    line = go(clew, team(clew, setting(clew, "ann", who="x"), setting(clew, "bob", who="x")))
    assert line["session_state"] == {"who": "x"}
    assert line.get("state_conflicts", []) == []
    assert clean(clew)


def test_a_failing_members_change_of_the_state_is_kept(clew: Clew) -> None:
    ann = setting(clew, "ann", seen=True) | {"output_schema": "n int", "limits": {"repairs": 0}}
    line = go(clew, team(clew, ann, member(clew, "bob")))
    assert run_of(clew, "ann")["status"] == "ERROR"
    assert line["session_state"] == {"seen": True}
    assert clean(clew)


def test_a_member_sees_what_an_earlier_one_changed_and_not_what_one_beside_it_does(
    clew: Clew,
) -> None:
    bob = member(clew, "bob", add_session_state_to_context=True)
    turns = [[delegate("1", "ann"), delegate("2", "bob")], [delegate("3", "bob")]]
    go(clew, team(clew, setting(clew, "ann", seen="yes"), bob, turns=turns), "--state", '{"n": 1}')
    first, second = (line["messages"][0]["content"] for line in runs(clew) if line["name"] == "bob")
    assert '"n"' in first and "seen" not in first
    assert "seen" in second
    assert clean(clew)


def test_a_key_that_a_member_takes_away_is_gone(clew: Clew) -> None:
    path = team(clew, setting(clew, "ann", old=None), setting(clew, "bob", new=1))
    assert go(clew, path, "--state", '{"old": 1}')["session_state"] == {"new": 1}
    assert clean(clew)


def test_a_members_command_changes_the_state_of_the_session_and_sees_the_teams(
    clew: Clew,
) -> None:
    ann = commanding(clew, "ann", "clew state set ann=$(clew state get n -r)")
    line = go(clew, team(clew, ann), "--state", '{"n": "one"}')
    assert line["session_state"] == {"n": "one", "ann": "one"}
    assert clean(clew)


def test_what_stands_in_the_state_of_a_definition_begins_a_session_the_teams_before_members(
    clew: Clew,
) -> None:
    ann = member(clew, "ann", session_state={"who": "ann", "a": 1})
    line = go(clew, team(clew, ann, session_state={"who": "team"}))
    assert line["session_state"] == {"who": "team", "a": 1}
    assert clean(clew)


def test_members_of_members_change_the_state_too(clew: Clew) -> None:
    inner = inline(
        clew,
        setting(clew, "ann", a=1),
        setting(clew, "bob", b=1, who="bob"),
        name="inner",
        asked="do inner",
    )
    line = go(clew, team(clew, inner, setting(clew, "cat", who="cat"), name="outer"))
    assert line["session_state"] == {"a": 1, "b": 1, "who": "cat"}
    ids = [run_of(clew, name)["run_id"] for name in ("inner", "cat")]
    assert line["state_conflicts"] == [{"path": ["who"], "runs": ids}]
    assert clean(clew)


def counted(clew: Clew, name: str, *turns: list[Json], **keys: Any) -> Json:
    """Define a member whose answer took 1000 tokens."""
    made = member(clew, name, *turns, **keys)
    count(made["model"])
    return made


def count(model: str, tokens: int = 1000) -> None:
    path = model.removeprefix("replay:")
    with open(path) as file:
        record = json.load(file)
    usage = {"input_tokens": tokens - 1, "output_tokens": 1, "total_tokens": tokens}
    with open(path, "w") as file:
        file.write(json.dumps(record | {"metrics": usage}) + "\n")


@pytest.fixture
def three(clew: Clew) -> str:
    """A team in which three answers took 1000 tokens each."""
    path = team(clew, counted(clew, "ann"), counted(clew, "bob"))
    with open(path) as file:
        count(json.load(file)["model"])
    return path


def test_a_teams_own_metrics_are_its_leaders_and_total_metrics_have_all_under_it(
    clew: Clew, three: str
) -> None:
    line = go(clew, three)
    assert (line["metrics"]["total_tokens"], line["metrics"]["requests"]) == (1000, 2)
    assert (line["total_metrics"]["total_tokens"], line["total_metrics"]["requests"]) == (3000, 4)
    assert [run_of(clew, each)["metrics"]["total_tokens"] for each in ("ann", "bob")] == [
        1000,
        1000,
    ]
    assert line["session_metrics"]["total_tokens"] == 3000
    assert (line["session_metrics"]["runs"], line["session_metrics"]["turns"]) == (1, 1)
    assert clew("metrics", "-s", "s", "--json").json["total_tokens"] == 3000
    assert clean(clew)


def test_each_token_is_counted_once_through_a_pause(clew: Clew) -> None:
    bob = counted(
        clew, "bob", [call("1", "send", to="x")], tools=[tool(clew, requires_confirmation=True)]
    )
    path = team(clew, counted(clew, "ann"), bob)
    with open(path) as file:
        count(json.load(file)["model"])
    paused = go(clew, path, code=6)
    line: Json = clew("continue", "-q", "-s", "s", "--confirm", "--json").json
    assert paused["total_metrics"]["total_tokens"] == 1000
    assert line["total_metrics"]["total_tokens"] == 2000
    assert line["session_metrics"]["total_tokens"] == 3000
    assert line["session_metrics"]["requests"] == 5
    assert clean(clew)


def test_usage_shows_what_the_whole_team_used(clew: Clew, three: str) -> None:
    shown = clew("run", "-q", "--usage", "--team", three, "go").err
    assert "2997" in shown and "3" in shown


def test_a_limit_of_tokens_bounds_the_whole_team(clew: Clew, three: str) -> None:
    line = go(clew, three, "--max-total-tokens", "1500", code=5)
    assert (line["status"], line["error"]["kind"]) == ("ERROR", "limit")
    assert line["total_metrics"]["total_tokens"] <= 2500
    assert names(clew)[-1] == ("team", "ERROR")
    assert clean(clew)


def test_a_budget_of_the_team_counts_what_its_members_used(clew: Clew, three: str) -> None:
    with open(three) as file:
        keys = json.load(file)
    with open(three, "w") as file:
        json.dump(keys | {"budget": {"tokens": 4500}}, file)
    go(clew, three)
    line = go(clew, three, code=5)
    assert "budget" in line["error"]["message"]
    assert line["session_metrics"]["total_tokens"] <= 5500
    assert clean(clew)


def test_most_turns_are_the_leaders(clew: Clew) -> None:
    turns = [[delegate("1", "ann")], [delegate("2", "ann")]]
    path = team(clew, member(clew, "ann"), turns=turns)
    line = go(clew, path, "--max-turns", "2", code=5)
    assert "the limit of 2 turns" in line["error"]["message"]
    assert told(line) == ["ann is done"] * 2
    assert clean(clew)


def test_time_that_is_up_ends_members_and_team_and_all_is_on_record(clew: Clew) -> None:
    path = team(clew, commanding(clew, "ann", "echo x > called; sleep 300"))
    called = clew.cwd / "called"
    asked = ("run", "-q", "--team", path, "-s", "s", "--json", "go")
    line = out_of_time(clew, lambda _: called.exists(), *asked, least=2).json
    assert (line["status"], line["error"]["kind"]) == ("ERROR", "limit")
    assert run_of(clew, "ann")["status"] == "ERROR"
    assert clean(clew)


def test_a_limit_of_cost_is_refused_where_a_members_price_is_not_known(clew: Clew) -> None:
    path = team(clew, {"name": "ann", "model": "openai/nobody-knows"}, member(clew, "bob"))
    env = {"OPENAI_API_KEY": "sk-x", "OPENAI_API_BASE": "http://127.0.0.1:9/v1"}
    asked = ("run", "--team", path, "-s", "s", "--max-cost", "1", "go")
    assert "openai/nobody-knows" in clew(*asked, code=78, env=env).err
    assert not clew.session_file("s").exists()
