"""Teams in Python."""

import json
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clew.core import Agent, Team
from clew.core.errors import StoreError, UsageError
from clew.core.events import Event
from clew.core.invocation import Invocation
from clew.core.limits import Budget, Limits
from clew.core.messages import ToolCall
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.store import Store
from clew.core.usage import no_usage
from clew.stores.append import append_line
from clew.stores.jsonl import JsonlStore
from tests.teams import Json, refused
from tests.torture.checker import check

Says = Callable[[ModelRequest], str | list[ToolCall]]


class Scripted:
    """A model that answers as a function says; it refuses what a provider refuses."""

    takes_schema, window = True, None
    price: Price | None = None

    def __init__(self, says: Says | str, name: str = "scripted") -> None:
        self._says: Says = says if callable(says) else lambda _: says
        self.name = name
        self.sent: list[list[Json]] = []

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        sent: list[Json] = [dict(message) for message in request.messages]
        assert refused({"messages": sent, "tools": list(request.tools)}) is None
        self.sent.append(sent)
        said = self._says(request)
        usage = no_usage() | {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}
        if isinstance(said, str):
            on_text(said)
            return ModelReply("stop", usage, self.name)
        return ModelReply("tool_calls", usage, self.name, tuple(said))


def delegate(call_id: str, **arguments: str) -> ToolCall:
    name = "delegate_task_to_member"
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}  # type: ignore[typeddict-item]


def leading(*turns: list[ToolCall], answer: str = "All done.") -> Scripted:
    """A leader that makes these calls, turn after turn, and then answers."""

    def says(request: ModelRequest) -> str | list[ToolCall]:
        last = max(n for n, each in enumerate(request.messages) if each["role"] == "user")
        made = sum(each["role"] == "assistant" for each in request.messages[last:])
        return turns[made] if made < len(turns) else answer

    return Scripted(says)


BOTH = [delegate("1", member_id="ann", task="do A"), delegate("2", member_id="bob", task="do B")]


def agents() -> list[Agent]:
    return [Agent(Scripted(f"{name} is done"), name=name) for name in ("ann", "bob")]


def lines(store: Store) -> list[Any]:
    return list(store.session("s", "default").lines())


def test_a_team_runs_and_its_members_runs_are_lines_of_the_same_session(store: Store) -> None:
    team = Team(leading(BOTH), name="crew", members=agents())
    run = team.run("go", session_id="s", store=store)
    assert (run.status, run.content) == ("COMPLETED", "All done.")
    stored = lines(store)
    assert sorted(each["name"] for each in stored[:2]) == ["ann", "bob"]
    assert stored[2] == run.line
    assert {each["parent_run_id"] for each in stored[:2]} == {run.run_id}
    assert run.line["metrics"]["total_tokens"] == 6
    assert run.line["total_metrics"]["total_tokens"] == 12
    assert run.line["session_metrics"]["total_tokens"] == 12


def test_a_team_runs_without_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_HOME", str(tmp_path / "home"))
    run = Team(leading(BOTH), members=agents()).run("go")
    assert [m["content"] for m in run.messages if m["role"] == "tool"] == [
        "ann is done",
        "bob is done",
    ]
    assert run.line["seq"] is None
    assert not (tmp_path / "home").exists()


def test_a_cost_of_the_team_that_a_member_reaches_ends_both_and_no_leader_is_told(
    store: Store,
) -> None:
    ann = Scripted("x" * 4000)
    ann.price = Price(0.0, 1.0)
    leader = leading(BOTH[:1])
    leader.price = Price(0.0, 0.0)
    team = Team(leader, members=[Agent(ann, name="ann")], limits=Limits(cost=100.0))
    run = team.run("go", session_id="s", store=store)
    assert [each["error"]["message"] for each in lines(store)] == [
        "the limit of $100 was reached"
    ] * 2
    assert run.line["tools"][0]["child_run_id"] == lines(store)[0]["run_id"]
    assert run.line["tools"][0]["unended"] is True
    assert len(leader.sent) == 1
    more = replace(team, limits=Limits(cost=10000.0))
    gone_on = more.invoke("", Invocation(store=store, session_id="s", resume=run.run_id))
    assert gone_on.content == "All done."


@pytest.mark.parametrize(
    "most",
    [{"budget": Budget(turns=3)}, {"limits": Limits(tokens=300)}, {"limits": Limits(cost=300)}],
)
def test_a_request_that_is_under_way_counts_for_the_limits_of_the_team(
    store: Store, most: dict[str, Any]
) -> None:
    too_many = threading.Event()
    ann = Scripted(lambda _: "late" if too_many.wait(100) else "done")
    ann.price = Price(1.0, 1.0)
    leader = leading([delegate(f"{n}", member_id="ann", task="x" * 400) for n in range(20)])
    leader.price = Price(0.0, 0.0)
    team = Team(leader, members=[Agent(ann, name="ann")], **most)
    run = team.run("go", session_id="s", store=store)
    too_many.set()
    assert (run.status, run.exit_code) == ("ERROR", 5)
    assert len(ann.sent) <= 2
    assert run.line["total_metrics"]["requests"] <= 3


def test_members_that_are_asked_in_one_answer_are_at_work_at_once(store: Store) -> None:
    meeting = threading.Barrier(2, timeout=60)

    def meets(_: ModelRequest) -> str:
        meeting.wait()
        return "met"

    members = [Agent(Scripted(meets), name=name) for name in ("ann", "bob")]
    run = Team(leading(BOTH), members=members).run("go", session_id="s", store=store)
    assert [m["content"] for m in run.messages if m["role"] == "tool"] == ["met", "met"]


def test_more_than_eight_members_of_a_broadcast_are_at_work_at_once(store: Store) -> None:
    meeting = threading.Barrier(12, timeout=60)

    def meets(_: ModelRequest) -> str:
        meeting.wait()
        return "met"

    members = [Agent(Scripted(meets), name=f"m{n}") for n in range(12)]
    team = Team(leading(), members=members, mode="broadcast")
    run = team.run("go", session_id="s", store=store)
    assert sum("met" in m["content"] for m in run.messages if m["role"] == "tool") == 12


def test_a_team_is_a_member_like_any_agent(store: Store) -> None:
    inner = Team(leading(BOTH), name="inner", members=agents())
    outer = Team(
        leading([delegate("1", member_id="inner", task="x")]), name="outer", members=[inner]
    )
    outer.run("go", session_id="s", store=store)
    *below, team, top = lines(store)
    assert {each["parent_run_id"] for each in below} == {team["run_id"]}
    assert team["parent_run_id"] == top["run_id"]
    assert {each["root_run_id"] for each in (*below, team)} == {top["run_id"]}


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "members"),
        ([Agent("replay:x")], "name"),
        ([Agent("replay:x", name="a"), Agent("replay:x", name="a")], "'a'"),
    ],
    ids=["none", "nameless", "twice"],
)
def test_members_that_cannot_be_told_apart_are_refused(members: list[Agent], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Team(leading(), members=members)


@pytest.mark.parametrize("make", [Agent, lambda name: Team(name=name, members=agents())])
@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "\ud800", ""])
def test_a_name_that_would_break_a_line_is_refused(make: Callable[..., Agent], name: str) -> None:
    with pytest.raises(UsageError, match="is not a name for an agent"):
        make(name=name)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"mode": "x"}, "a team's mode is one of coordinate, route, broadcast, tasks, not 'x'"),
        ({"mode": None}, "a team's mode is one of coordinate, route, broadcast, tasks, not None"),
        ({"members": ["ann"]}, "a member of a team is an Agent or a Team, not 'ann'"),
        ({"members": "ann"}, "a team's members are a list of agents and teams, not 'ann'"),
        ({"members": None}, "a team's members are a list of agents and teams, not None"),
        ({"max_iterations": 0}, "a team's max_iterations is 1 or more, not 0"),
        ({"max_iterations": "3"}, "a team's max_iterations is 1 or more, not '3'"),
        ({"num_team_history_runs": 0}, "a team's num_team_history_runs is 1 or more, not 0"),
        ({"num_team_history_runs": None}, "a team's num_team_history_runs is 1 or more, not None"),
    ],
    ids=str,
)
def test_what_no_team_has_is_refused_in_one_line_when_the_team_is_made(
    keys: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Team(**{"model": leading(), "members": agents(), **keys})
    assert refused.value.message == why


@pytest.mark.parametrize("dies", [False, True], ids=["ended", "died"])
def test_the_members_of_a_line_stand_in_the_order_of_their_lines_whoever_is_heard_of_first(
    store: Store, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    is_stored, is_told = threading.Event(), threading.Event()
    session = type(store.session("s", "default"))
    append = session.append

    def slow_after_ann(self: Any, draft: Any) -> Any:
        line = append(self, draft)
        if line is not None and line["type"] == "run" and line["name"] == "ann":
            is_stored.set()
            assert is_told.wait(60)
        return line

    def heard(event: Event) -> None:
        if event["event"] == "TeamToolCallCompleted":
            is_told.set()

    def bob(_: ModelRequest) -> str:
        assert is_stored.wait(60)
        return "bob is done"

    def leads(request: ModelRequest) -> str | list[ToolCall]:
        if request.messages[-1]["role"] == "tool":
            assert not dies, "a bug"
            return "All done."
        return BOTH

    monkeypatch.setattr(session, "append", slow_after_ann)
    team = Team(Scripted(leads), members=[agents()[0], Agent(Scripted(bob), name="bob")])
    with pytest.raises(AssertionError, match="a bug") if dies else nullcontext():
        team.run("go", session_id="s", store=store, on_event=heard)
    store.session("s", "default").recover()
    *members, line = lines(store)
    assert [each["name"] for each in members] == ["ann", "bob"]
    assert [each["name"] for each in line["members"]] == ["ann", "bob"]
    assert line["status"] == ("INTERRUPTED" if dies else "COMPLETED")


def test_a_bug_in_a_members_model_is_raised_and_the_run_is_found_dead(store: Store) -> None:
    def breaks(_: ModelRequest) -> str:
        raise ZeroDivisionError

    members = [Agent(Scripted(breaks), name="ann"), agents()[1]]
    team = Team(leading([BOTH[1]], [BOTH[0]]), name="crew", members=members)
    with pytest.raises(ZeroDivisionError):
        team.run("go", session_id="s", store=store)
    store.session("s", "default").recover()
    assert [(each["name"], each["status"]) for each in lines(store)] == [
        ("bob", "COMPLETED"),
        ("ann", "INTERRUPTED"),
        ("crew", "INTERRUPTED"),
    ]


@pytest.mark.parametrize("mode", ["coordinate", "broadcast"])
@pytest.mark.parametrize(
    "at", ["TeamRunStarted", "TeamToolCallStarted", "RunStarted", "RunCompleted"]
)
def test_a_team_that_is_stopped_anywhere_goes_on_and_asks_no_member_twice_that_was_done(
    store: Store, mode: Any, at: str
) -> None:
    members = agents()
    team = Team(leading(*([] if mode == "broadcast" else [BOTH])), members=members, mode=mode)

    def stops(event: Event) -> None:
        if event["event"] == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        team.run("go", session_id="s", store=store, run_id="first", on_event=stops)
    assert lines(store)[-1]["status"] == "CANCELLED"
    done = [each["name"] for each in lines(store) if each["status"] == "COMPLETED"]
    run = team.invoke("", Invocation(store=store, session_id="s", resume="first"))
    assert (run.status, run.content) == ("COMPLETED", "All done.")
    told = [m["content"] for m in run.messages if m["role"] == "tool"]
    prefix = "{0} says:\n" if mode == "broadcast" else ""
    assert told == [prefix.format(name) + f"{name} is done" for name in ("ann", "bob")]
    for name in done:
        assert [each["name"] for each in lines(store)].count(name) == 1


@pytest.mark.parametrize("failing", [1, 2])
def test_a_team_with_a_run_that_could_not_be_stored_is_not_stored_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    appended: list[int] = []

    def fails_once(*arguments: Any) -> Any:
        appended.append(1)
        if len(appended) == failing:
            raise StoreError("the disk is full")
        return append_line(*arguments)

    monkeypatch.setattr("clew.stores.session_file.append_line", fails_once)
    store = JsonlStore(str(tmp_path / "home"))
    team = Team(leading([BOTH[0]], [BOTH[1]]), name="crew", members=agents())
    run = team.run("go", session_id="s", store=store, run_id="first")
    assert (run.exit_code, run.line["seq"]) == (74, None)
    again = team.invoke("", Invocation(store=store, session_id="s", resume="first"))
    assert (again.status, again.content) == ("COMPLETED", "All done.")
    first, *_ = found = [(each["name"], each["status"]) for each in lines(store)]
    assert first == ("ann", "INTERRUPTED" if failing == 1 else "COMPLETED")
    assert found.index(("crew", "INTERRUPTED")) == failing
    assert check(Path(store.session("s", "default").location)) == []
