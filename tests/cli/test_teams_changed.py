"""Teams whose definition changes while one of their runs waits, or is stopped."""

from typing import Any

import pytest

from tests.conftest import Clew, eventually
from tests.paused import call, sent, tool
from tests.taskteams import create, execute
from tests.teams import Json, delegate, member, names, run_of, team, told
from tests.torture.checker import check

ASK: Json = {"requires_confirmation": True}
SETTLE = ("continue", "-q", "-s", "s")
SLOW = 'echo x >> called; [ "$(wc -l < called)" -gt 1 ] || sleep 1000; echo ok'


def clean(clew: Clew) -> bool:
    """Whether both judges find nothing wrong with session `s`."""
    clew("sessions", "verify", "-s", "s")
    return check(clew.session_file("s")) == []


def pay(clew: Clew, asked: str | None = None) -> Json:
    """Define ann, who asks whether she may pay."""
    tools = [tool(clew, "pay", **ASK)]
    return member(clew, "ann", [call("1", "pay", to="x")], asked=asked, tools=tools)


def slow(clew: Clew, asked: str | None = None) -> Json:
    """Define ann, whose tool takes its time when it is called first."""
    tools = [tool(clew, "slow", SLOW)]
    return member(clew, "ann", [call("1", "slow", to="x")], asked=asked, tools=tools)


def paused(clew: Clew, *members: Json, **keys: Any) -> None:
    """Have a team pause."""
    clew("run", "-q", "--team", team(clew, *members, **keys), "-s", "s", "go", code=6)


def stopped(clew: Clew, *members: Json, **keys: Any) -> None:
    """Have a team stop while ann's slow tool runs."""
    process = clew.start("run", "-q", "--team", team(clew, *members, **keys), "-s", "s", "go")
    try:
        eventually((clew.cwd / "called").exists)
        process.terminate()
        process.communicate(timeout=200)
    finally:
        process.kill()
        process.communicate()


def test_a_yes_to_a_member_that_is_not_in_the_team_any_more_is_refused_by_its_name(
    clew: Clew,
) -> None:
    ann, bob = pay(clew), member(clew, "bob")
    turns = [[delegate("d-ann", "ann")]]
    paused(clew, ann, bob, turns=turns)
    before = clew.session_file("s").read_bytes()
    team(clew, bob, turns=turns)
    refused = clew(*SETTLE, "--confirm", code=2).err
    assert refused == (
        "clew: the run waits for 'pay' of 'ann', and the team has no such member\n"
        "  hint: put it into the team again, or --reject\n"
    )
    assert clew.session_file("s").read_bytes() == before
    team(clew, ann, bob, turns=turns)
    assert clew(*SETTLE, "--confirm").out == "All done.\n"
    assert sent(clew) == [{"to": "x"}]
    assert clean(clew)


def test_a_no_to_a_member_that_is_not_in_the_team_any_more_is_told_to_the_leader(
    clew: Clew,
) -> None:
    turns = [[delegate("d-ann", "ann"), delegate("d-bob", "bob")]]
    paused(clew, pay(clew), member(clew, "bob"), turns=turns)
    team(clew, member(clew, "bob"), turns=turns)
    line = clew(*SETTLE, "--reject", "--json").json
    assert told(line) == ["the team has no member 'ann' any more", "bob is done"]
    assert line["content"] == "All done."
    assert "open_pauses" not in line["session_metrics"]
    assert clean(clew)


def test_a_yes_to_a_tool_that_its_member_has_no_more_is_refused_by_both_names(clew: Clew) -> None:
    paused(clew, pay(clew))
    team(clew, member(clew, "ann"))
    refused = clew(*SETTLE, "--confirm", code=2).err
    assert "ann: the run waits for 'pay', and there is no such tool\n" in refused
    assert "the member needs it again, or --reject" in refused


def test_a_member_that_is_not_in_the_team_any_more_is_not_gone_on_with_and_the_leader_is_told(
    clew: Clew,
) -> None:
    turns = [[delegate("d-ann", "ann")]]
    stopped(clew, slow(clew), member(clew, "bob"), turns=turns)
    team(clew, member(clew, "bob"), turns=turns)
    line = clew(*SETTLE, "--resume", "--json").json
    assert told(line) == ["the team has no member 'ann' any more"]
    assert clean(clew)


@pytest.mark.parametrize("mode", ["route", "coordinate", "tasks"])
def test_a_member_of_a_broadcast_goes_on_where_it_was_when_the_mode_has_changed(
    clew: Clew, mode: str
) -> None:
    ann, bob = slow(clew, "go"), member(clew, "bob", asked="go")
    stopped(clew, ann, bob, mode="broadcast")
    team(clew, ann, bob, mode=mode, turns=[])
    line = clew(*SETTLE, "--resume", "--json").json
    assert told(line)[0] == "ann is done"
    assert (clew.cwd / "called").read_text() == "x\n"
    first, second = (name for name in names(clew) if name[0] == "ann")
    assert (first, second) == (("ann", "CANCELLED"), ("ann", "COMPLETED"))
    assert run_of(clew, "ann")["parent_run_id"] == line["run_id"]
    assert clean(clew)


@pytest.mark.parametrize("mode", ["coordinate", "tasks"])
def test_a_yes_reaches_its_member_when_the_mode_has_changed(clew: Clew, mode: str) -> None:
    other = "tasks" if mode == "coordinate" else "coordinate"
    turns = {
        "coordinate": [[delegate("d", "ann", "pay")]],
        "tasks": [[create("pay", "ann"), execute("1")]],
    }
    for each in turns["tasks"][0]:
        each["id"] = each["function"]["name"]
    ann = pay(clew, asked="pay")
    paused(clew, ann, mode=mode, turns=turns[mode])
    team(clew, ann, mode=other, turns=turns[mode])
    line = clew(*SETTLE, "--confirm", "--json").json
    assert told(line)[-1] == "ann is done"
    assert sent(clew) == [{"to": "x"}]
    assert clean(clew)
