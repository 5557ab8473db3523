"""Limits of a team that its members reach: all of it ends then, and all of it can go on."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Clew
from tests.paused import call, tool
from tests.provider import Answer, Provider
from tests.taskteams import create, execute
from tests.teams import Cast, Json, defined, inline, member, run_of, runs, team, told
from tests.timed import out_of_time
from tests.torture.checker import check

SLOW = 'echo x >> called; [ -n "$QUICK" ] || sleep 1000; echo ok'
LARGE = "until [ -e called ] && {also}; do sleep 0.05; done; head -c 8000 /dev/zero | tr '\\0' x"
TOKENS = "the limit of 1000 tokens was reached"


def slow(clew: Clew, name: str, asked: str | None = None) -> Json:
    """Define a member whose tool takes for ever, until `goes_on` says otherwise."""
    tools = [tool(clew, "slow", SLOW)]
    return member(clew, name, [call("1", "slow", to=name)], asked=asked, tools=tools)


def large(clew: Clew, name: str, asked: str | None = None, also: str = "true") -> Json:
    """Define a member whose tool says more than 1000 tokens, as soon as a slow one runs.

    `also` is a command that has to succeed before.
    """
    tools = [tool(clew, "large", LARGE.format(also=also))]
    return member(clew, name, [call("1", "large", to=name)], asked=asked, tools=tools)


def goes_on(clew: Clew, *options: str) -> Json:
    """Go on with the team, and return its line; nothing is found wrong with the session."""
    clew.env["QUICK"] = "1"
    line: Json = clew("continue", "-q", "-s", "s", "--resume", "--json", *options).json
    clew("sessions", "verify", "-s", "s")
    assert check(clew.session_file("s")) == []
    return line


def coordinate(clew: Clew) -> str:
    return team(clew, slow(clew, "bob"))


def broadcast(clew: Clew) -> str:
    return team(clew, slow(clew, "bob", "go"), mode="broadcast", name="team")


def nested(clew: Clew) -> str:
    inner = inline(clew, slow(clew, "bob"), name="inner", asked="do inner", answer="inner is done")
    return team(clew, inner)


def tasks(clew: Clew) -> str:
    turns = [[create("t", "bob") | {"id": "1"}], [execute("1") | {"id": "2"}]]
    return team(clew, slow(clew, "bob", "t"), turns=turns, mode="tasks")


@pytest.mark.parametrize("made", [coordinate, broadcast, nested, tasks])
def test_members_at_work_when_the_teams_time_is_up_are_gone_on_with(
    clew: Clew, made: Callable[[Clew], str]
) -> None:
    called = clew.cwd / "called"
    asked = ("run", "-q", "--team", made(clew), "-s", "s", "--json", "go")
    ended = out_of_time(clew, lambda _: called.exists(), *asked).json
    before = runs(clew)
    [message] = {each["error"]["message"] for each in before}
    assert re.fullmatch(r"the time limit of \d+ s was reached", message)
    assert ended["tools"][-1]["unended"] is True
    assert "is done" in told(goes_on(clew))[-1]
    again = runs(clew)[len(before) :]
    assert [(each["status"], each["resumes"]) for each in again] == [
        ("COMPLETED", each["run_id"]) for each in before
    ]


def test_a_limit_that_one_member_reaches_ends_the_others_at_work_and_all_go_on(clew: Clew) -> None:
    cat_is_done = f"grep -q '\"cat is done\"' {clew.session_file('s')}"
    members = [slow(clew, "ann"), large(clew, "bob", also=cat_is_done), member(clew, "cat")]
    path = team(clew, *members)
    clew("run", "-q", "--team", path, "-s", "s", "--max-total-tokens", "1000", "go", code=5)
    for name in ("ann", "bob", "team"):
        line = run_of(clew, name)
        assert (line["status"], line["exit_code"]) == ("ERROR", 5)
        assert line["error"]["message"] == TOKENS
    assert told(goes_on(clew)) == ["ann is done", "bob is done", "cat is done"]
    assert [each["name"] for each in runs(clew)].count("cat") == 1
    assert (clew.cwd / "called").read_text() == "x\n", "the tool was called once, and not again"


def test_a_session_whose_budget_a_member_reached_goes_on_when_there_is_more_of_it(
    clew: Clew,
) -> None:
    path = team(clew, slow(clew, "ann"), large(clew, "bob"), budget={"tokens": 1000})
    clew("run", "-q", "--team", path, "-s", "s", "go", code=5)
    assert {each["error"]["kind"] for each in runs(clew)} == {"limit"}
    file = Path(path)
    file.write_text(file.read_text().replace('"tokens": 1000', '"tokens": 100000'))
    assert told(goes_on(clew)) == ["ann is done", "bob is done"]


@pytest.mark.slow
def test_members_at_work_at_once_send_no_more_requests_than_the_session_has_turns(
    clew: Clew, provider: Provider
) -> None:
    cast, third = Cast(provider), threading.Event()

    def waits_for_a_third(_: Json) -> Answer:
        if len(provider.requests) > 2:
            third.set()
        third.wait(10)
        return Answer("done")

    everybody = [f"m{number}" for number in range(8)]
    members = [{"name": name, "model": f"openai/{name}"} for name in everybody]
    for name in everybody:
        cast.answers(name, waits_for_a_third)
    keys = {"model": "openai/lead", "members": members, "mode": "broadcast"}
    path = str(defined(clew, "team", kind="team", budget={"turns": 2}, **keys))
    line = clew("run", "-q", "--team", path, "-s", "s", "--json", "go", code=5).json
    assert "the session's budget of 2 turns was reached" in line["error"]["message"]
    assert len(provider.requests) <= 2
    assert line["session_metrics"]["requests"] == 2


def test_a_limit_of_a_team_in_the_team_ends_that_one_only_and_the_leader_is_told(
    clew: Clew,
) -> None:
    inner = inline(
        clew,
        slow(clew, "ann"),
        large(clew, "bob"),
        name="inner",
        asked="do inner",
        limits={"max_total_tokens": 1000},
    )
    line = clew("run", "-q", "--team", team(clew, inner), "-s", "s", "--json", "go").json
    assert line["status"] == "COMPLETED"
    assert told(line) == [f"inner has no answer, its run is ERROR: {TOKENS}"]
    assert {run_of(clew, each)["status"] for each in ("ann", "bob", "inner")} == {"ERROR"}


def test_a_member_that_is_out_of_its_own_time_has_failed_and_the_team_goes_on(clew: Clew) -> None:
    ann = slow(clew, "ann") | {"limits": {"timeout": 1}}
    asked = ("run", "-q", "--team", team(clew, ann), "-s", "s", "--timeout", "1h", "--json", "go")
    line = clew(*asked).json
    assert "ann has no answer, its run is ERROR: the time limit of 1 s" in told(line)[0]
    assert "unended" not in line["tools"][0]
