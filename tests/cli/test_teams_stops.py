"""Teams that are stopped, or die: what is on record then, and what goes on."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Clew, eventually
from tests.paused import call, sent, tool
from tests.provider import Answer, Provider
from tests.teams import (
    Cast,
    Json,
    defined,
    delegate,
    inline,
    member,
    names,
    run_of,
    runs,
    team,
    told,
)
from tests.terminal import Person
from tests.torture.checker import check

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
IDS = ["INT", "TERM", "HUP"]
SLOW = 'echo x >> called; [ "$(wc -l < called)" -gt ${QUICK_AFTER:-1} ] || sleep 1000; echo ok'


def clean(clew: Clew) -> bool:
    """Whether both judges find nothing wrong with session `s`."""
    clew("sessions", "verify", "-s", "s")
    return check(clew.session_file("s")) == [] and not list(clew.home.rglob("*.part"))


def slow(clew: Clew, name: str, asked: str | None = None) -> Json:
    """Define a member whose tool takes its time when it is called first, and only then."""
    tools = [tool(clew, "slow", SLOW)]
    return member(clew, name, [call("1", "slow", to=name)], asked=asked, tools=tools)


def one_after_the_other(clew: Clew) -> str:
    """Define a team of three, the second of which stands still in its tool."""
    members = [member(clew, "ann"), slow(clew, "bob"), member(clew, "cat")]
    turns = [[delegate(f"d-{each}", each)] for each in ("ann", "bob", "cat")]
    return team(clew, *members, turns=turns)


@contextmanager
def standing(
    clew: Clew, path: str, *options: str, calls: int = 1
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a team and give its process when its members' slow tools run."""
    process = clew.start("run", "-q", "--team", path, "-s", "s", *options, "go")
    called = clew.cwd / "called"
    try:
        eventually(lambda: called.exists() and len(called.read_text().splitlines()) == calls)
        yield process
    finally:
        process.kill()
        process.communicate()


def end(process: "subprocess.Popen[bytes]", signum: signal.Signals) -> None:
    process.send_signal(signum)
    process.communicate(timeout=200)
    assert process.returncode == -signum


@pytest.mark.parametrize("signum", SIGNALS, ids=IDS)
def test_a_stop_in_a_members_tool_cancels_member_and_team_and_keeps_who_was_done(
    clew: Clew, signum: signal.Signals
) -> None:
    with standing(clew, one_after_the_other(clew)) as process:
        end(process, signum)
    assert names(clew) == [("ann", "COMPLETED"), ("bob", "CANCELLED"), ("team", "CANCELLED")]
    assert {run_of(clew, each)["exit_code"] for each in ("bob", "team")} == {128 + signum}
    line = run_of(clew, "team")
    assert [each["name"] for each in line["members"]] == ["ann", "bob"]
    assert line["tools"][-1]["child_run_id"] == run_of(clew, "bob")["run_id"]
    assert line["tools"][-1]["unended"] is True
    assert clean(clew)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_what_ended_in_the_middle_of_member_2_of_3_goes_on_there_and_repeats_nothing_of_member_1(
    clew: Clew, signum: signal.Signals
) -> None:
    with standing(clew, one_after_the_other(clew)) as process:
        end(process, signum)
    line = clew("continue", "-q", "-s", "s", "--resume", "--json").json
    ended = "INTERRUPTED" if signum is signal.SIGKILL else "CANCELLED"
    assert names(clew) == [
        ("ann", "COMPLETED"),
        ("bob", ended),
        ("team", ended),
        ("bob", "COMPLETED"),
        ("cat", "COMPLETED"),
        ("team", "COMPLETED"),
    ]
    assert told(line) == ["ann is done", "bob is done", "cat is done"]
    assert line["content"] == "All done."
    first, second = (each for each in runs(clew) if each["name"] == "bob")
    assert second["resumes"] == first["run_id"]
    assert second["parent_run_id"] == line["run_id"]
    assert (clew.cwd / "called").read_text() == "x\n", "the tool was called once, and not again"
    assert clean(clew)


def test_what_a_kill_left_is_stored_once_members_before_their_team(clew: Clew) -> None:
    with standing(clew, one_after_the_other(clew)) as process:
        end(process, signal.SIGKILL)
    assert [line["name"] for line in clew.stored("s")] == ["ann"]
    other = clew.recording(("hi", "hello"), name="other.jsonl")
    clew("run", "-q", "-s", "s", "-m", other, "hi")
    expected = [("ann", "COMPLETED"), ("bob", "INTERRUPTED"), ("team", "INTERRUPTED")]
    assert names(clew)[:3] == expected
    line = run_of(clew, "team")
    assert [(each["name"], each["status"]) for each in line["members"]] == [
        ("ann", "COMPLETED"),
        ("bob", "INTERRUPTED"),
    ]
    assert line["total_metrics"]["requests"] == 4
    assert clean(clew)
    clew("run", "-q", "-s", "s", "-m", other, "hi")
    assert names(clew)[:3] == expected
    assert len(names(clew)) == 5


def test_a_broadcast_that_is_stopped_cancels_all_who_were_at_work(clew: Clew) -> None:
    members = [slow(clew, "ann", "go"), slow(clew, "bob", "go"), member(clew, "cat", asked="go")]
    path = team(clew, *members, mode="broadcast")
    clew.env["QUICK_AFTER"] = "2"
    with standing(clew, path, calls=2) as process:
        eventually(lambda: any(one["name"] == "cat" for one in stored(clew)))
        end(process, signal.SIGINT)
    assert sorted(names(clew)[:3]) == [
        ("ann", "CANCELLED"),
        ("bob", "CANCELLED"),
        ("cat", "COMPLETED"),
    ]
    assert names(clew)[3:] == [("team", "CANCELLED")]
    assert clean(clew)
    line = clew("continue", "-q", "-s", "s", "--resume", "--json").json
    assert line["content"] == "All done."
    assert [each.splitlines()[1] for each in told(line)] == [
        f"{each} is done" for each in ("ann", "bob", "cat")
    ]
    assert names(clew).count(("cat", "COMPLETED")) == 1
    assert clean(clew)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_in_route_what_was_said_before_a_stop_is_in_the_answer_too(
    clew: Clew, signum: signal.Signals
) -> None:
    path = team(clew, slow(clew, "ann"), member(clew, "bob"), mode="route")
    with standing(clew, path) as process:
        eventually(lambda: any(one["name"] == "bob" for one in stored(clew)))
        end(process, signum)
    done = clew("continue", "-q", "-s", "s", "--resume")
    assert done.out == "ann is done\n\nbob is done\n"
    assert names(clew).count(("bob", "COMPLETED")) == 1
    assert clean(clew)


def stored(clew: Clew) -> list[Json]:
    path = clew.session_file("s")
    return runs(clew) if path.exists() and path.stat().st_size else []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_stop_two_teams_deep_goes_on_at_the_bottom(clew: Clew, signum: signal.Signals) -> None:
    inner = inline(
        clew,
        member(clew, "ann"),
        slow(clew, "bob"),
        name="inner",
        asked="do inner",
        answer="inner is done",
        turns=[[delegate("1", "ann")], [delegate("2", "bob")]],
    )
    path = team(clew, inner, member(clew, "cat"), name="outer", turns=[[delegate("1", "inner")]])
    with standing(clew, path) as process:
        end(process, signum)
    line = clew("continue", "-q", "-s", "s", "--resume", "--json").json
    assert told(line) == ["inner is done"]
    ended = "INTERRUPTED" if signum is signal.SIGKILL else "CANCELLED"
    assert names(clew) == [
        ("ann", "COMPLETED"),
        ("bob", ended),
        ("inner", ended),
        ("outer", ended),
        ("bob", "COMPLETED"),
        ("inner", "COMPLETED"),
        ("outer", "COMPLETED"),
    ]
    assert (clew.cwd / "called").read_text() == "x\n"
    assert clean(clew)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_a_stop_while_one_of_two_that_waited_is_at_work_leaves_the_other_waiting(
    clew: Clew, signum: signal.Signals
) -> None:
    ask: Json = {"requires_confirmation": True}
    ann = member(clew, "ann", [call("1", "slow", to="x")], tools=[tool(clew, "slow", SLOW, **ask)])
    bob = member(clew, "bob", [call("1", "send", to="x")], tools=[tool(clew, **ask)])
    paused = clew("run", "-q", "--team", team(clew, ann, bob), "-s", "s", "--json", "go", code=6)
    first, second = (each["tool_call_id"] for each in paused.json["requirements"])
    process = clew.start("continue", "-q", "-s", "s", f"--confirm={first}")
    eventually((clew.cwd / "called").exists)
    end(process, signum)
    again = clew("continue", "-q", "-s", "s", "--resume", "--json", code=6).json
    assert [each["tool_call_id"] for each in again["requirements"] if not each["decision"]] == [
        second
    ]
    assert told(again) == ["ann is done"]
    line = clew("continue", "-q", "-s", "s", "--confirm", "--json").json
    assert told(line) == ["ann is done", "bob is done"]
    assert [name for name, _ in names(clew)].count("bob") == 2
    assert (clew.cwd / "called").read_text() == "x\n"
    assert sent(clew) == [{"to": "x"}]
    assert clean(clew)


def test_a_run_id_that_is_repeated_after_a_kill_goes_on_with_the_team(clew: Clew) -> None:
    path = one_after_the_other(clew)
    with standing(clew, path, "--run-id", "it") as process:
        end(process, signal.SIGKILL)
    asked = ("run", "-q", "--team", path, "-s", "s", "--run-id", "it", "--json", "go")
    line = clew(*asked).json
    assert (line["resumes"], line["content"]) == ("it", "All done.")
    assert names(clew).count(("ann", "COMPLETED")) == 1
    before = clew.session_file("s").read_bytes()
    assert clew(*asked).json == line
    assert clew.session_file("s").read_bytes() == before
    assert clean(clew)


def test_a_new_word_to_a_stopped_team_has_the_leader_told_that_the_member_did_not_end(
    clew: Clew,
) -> None:
    with standing(clew, one_after_the_other(clew)) as process:
        end(process, signal.SIGINT)
    model = clew.recording(("go\n\nnever mind", "Very well."), name="later.jsonl")
    line = clew("continue", "-q", "-s", "s", "--resume", "-m", model, "--json", "never mind").json
    assert line["content"] == "Very well."
    assert "before this one had ended" in told(line)[-1]
    assert names(clew)[3:] == [("team", "COMPLETED")]
    assert clean(clew)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_members_that_wait_for_a_model_that_says_nothing_are_stopped_and_asked_again(
    clew: Clew, provider: Provider, signum: signal.Signals
) -> None:
    cast, gate = Cast(provider), threading.Event()
    members = [{"name": name, "model": f"openai/{name}"} for name in ("ann", "bob")]
    path = str(
        defined(clew, "team", kind="team", model="openai/lead", members=members, mode="broadcast")
    )
    cast.says("ann", Answer(fault="hang"))
    cast.says("bob", Answer("as far as it came", gate=gate))
    process = clew.start("run", "--team", path, "-s", "s", "-o", "stream-json", "go")
    assert process.stdout is not None
    while json.loads(process.stdout.readline()).get("event") != "RunContent":
        pass
    provider.wait_for_requests(2)
    end(process, signum)
    gate.set()
    if signum is signal.SIGINT:
        assert sorted(names(clew)[:2]) == [("ann", "CANCELLED"), ("bob", "CANCELLED")]
        assert names(clew)[2:] == [("team", "CANCELLED")]
        assert run_of(clew, "bob")["content"].strip()
        assert clean(clew)
    line = clew("continue", "-q", "-s", "s", "--resume", "--json").json
    assert told(line) == ["ann says:\nann is done", "bob says:\nbob is done"]
    assert [m["role"] for m in cast.sent("bob")[1]] == ["user"]
    assert clean(clew)


@pytest.mark.parametrize("how", ["ctrl-c", "signal"])
def test_a_stop_while_a_member_asks_at_the_terminal_cancels_both_at_once(
    clew: Clew, how: str
) -> None:
    bob = member(
        clew, "bob", [call("1", "send", to="x")], tools=[tool(clew, requires_confirmation=True)]
    )
    path = team(clew, bob)
    person = Person(clew, "run", "--team", path, "-s", "s", "go")
    try:
        shown = person.shows("run it? [y/N, or why not] ")
        assert "bob wants to call send" in shown
        told = datetime.now(UTC)
        if how == "ctrl-c":
            person.types("\x03")
        else:
            os.kill(person.process.pid, signal.SIGTERM)
        code, _ = person.end()
    finally:
        person.leave()
    assert code in (-signal.SIGINT, -signal.SIGTERM)
    assert names(clew) == [("bob", "CANCELLED"), ("team", "CANCELLED")]
    ended = datetime.fromisoformat(run_of(clew, "team")["created_at"])
    assert ended - told < timedelta(seconds=10), "it waited as for a member that does not end"
    assert sent(clew) == []
    assert clean(clew)


def test_a_member_asks_at_the_terminal_by_its_name_and_goes_on_with_the_answer(clew: Clew) -> None:
    made = [
        member(
            clew, each, [call("1", "send", to=each)], tools=[tool(clew, requires_confirmation=True)]
        )
        for each in ("ann", "bob")
    ]
    person = Person(clew, "run", "-q", "--team", team(clew, *made), "-s", "s", "go")
    try:
        for _ in range(2):
            shown = person.sees("run it? [y/N, or why not] ")
            person.types("y\n" if "ann wants to call" in shown else "no need\n")
        code, _ = person.end()
    finally:
        person.leave()
    assert code == 0
    assert sent(clew) == [{"to": "ann"}]
    assert "no need" in told(run_of(clew, "bob"))[0]
    assert clean(clew)
