"""What is shown of a team while it works: on a terminal, in notes, and in events."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Clew, eventually
from tests.crew import crew, member, written
from tests.paused import call, tool
from tests.taskteams import create, execute, says
from tests.taskteams import team as taskteam
from tests.terminal import Person, screen

Json = dict[str, Any]
WAITING = "while [ ! -e go ]; do sleep 0.05; done; echo found"

Sits = Callable[..., Person]


@pytest.fixture
def sits(clew: Clew) -> Iterator[Sits]:
    """Have a person at a terminal run a team with these members, which is asked to `go`."""
    people: list[Person] = []
    clew.env["TERM"] = "xterm"

    def start(*members: Json, columns: int = 80, **more: Any) -> Person:
        team = written(clew, crew(clew, *members, **more))
        people.append(Person(clew, "run", "-s", "s", "--team", team, "go", columns=columns))
        return people[-1]

    yield start
    for person in people:
        person.leave()


def busy(clew: Clew, name: str) -> Json:
    """A member whose tool `wc` goes on until there is a file `go`."""
    return member(clew, name, [call("c1", "wc", to=name)], tools=[tool(clew, "wc", WAITING)])


def let_go(clew: Clew) -> None:
    (clew.cwd / "go").touch()


def left(person: Person) -> list[str]:
    """What is on the screen after the end, without the times and the session's name."""
    code, shown = person.end()
    assert code == 0, shown
    lines = [line for line in screen(shown) if not line.startswith("clew: session ")]
    return [re.sub(r"\(\d+\.\d s", "(TIME", line) for line in lines]


def drawn(shown: str) -> list[list[str]]:
    """The parts of each status that was drawn, without their times."""
    lines = re.findall(r"\x1b\[2m. (.*?)\x1b\[0m", shown)
    return [sorted(re.sub(r" \d+ s$", "", part) for part in line.split(" · ")) for line in lines]


def draws(person: Person, *parts: str) -> None:
    """Wait until a status with these parts, and no others, is drawn."""
    eventually(lambda: drawn(person.shows(""))[-1:] == [sorted(parts)])


def test_members_that_work_are_shown_side_by_side_with_what_they_do(clew: Clew, sits: Sits) -> None:
    person = sits(busy(clew, "editor"), busy(clew, "fixer"), member(clew, "critic"))
    draws(person, "critic ✓", "editor: wc", "fixer: wc")
    let_go(clew)
    person.end()


@pytest.mark.parametrize(("columns", "shown"), [(20, 2), (40, 4)])
def test_a_narrow_terminal_gets_all_members_that_fit_in_one_line(
    clew: Clew, sits: Sits, columns: int, shown: int
) -> None:
    names = [f"それは長い名前-{number}" for number in range(4)]
    person = sits(*(busy(clew, name) for name in names), columns=columns)

    def lines() -> list[str]:
        return re.findall(r"\x1b\[2m(.*?)\x1b\[0m", person.shows(""))

    eventually(lambda: any(line.count(" · ") == shown - 1 for line in lines()))
    let_go(clew)
    for line in lines():
        assert len(line) + sum(character > "\u3000" for character in line) < columns
    person.end()


def test_what_has_ended_gives_way_on_a_narrow_terminal(clew: Clew, sits: Sits) -> None:
    person = sits(busy(clew, "editor"), member(clew, "a-critic-with-a-long-name"), columns=30)
    person.sees("a-critic-with-a-long-name is done")
    draws(person, "editor: wc")
    let_go(clew)
    person.end()


def test_each_member_that_ended_leaves_one_line_and_its_call_none(clew: Clew, sits: Sits) -> None:
    critic = member(clew, "critic", answer="Two faults.\nBoth old.")
    assert sorted(left(sits(critic, member(clew, "editor")))) == [
        "All done.",
        "clew: critic is done (TIME, 10 tokens): Two faults. Both old.",
        "clew: editor is done (TIME, 10 tokens): editor has looked",
    ]


def test_a_tool_of_a_member_is_told_with_whose_it_is(clew: Clew, sits: Sits) -> None:
    person = sits(busy(clew, "editor"))
    let_go(clew)
    assert 'clew: editor: wc({"to": "editor"}) is done (TIME): found' in left(person)


def test_a_member_that_failed_leaves_the_reason(clew: Clew, sits: Sits) -> None:
    [note, answer] = left(sits(member(clew, "lost", asked="something else")))
    assert note.startswith("clew: lost failed (TIME, 0 tokens): '/")
    assert answer == "All done."


def test_a_member_that_could_not_begin_is_told_of_as_the_call_that_failed(
    clew: Clew, sits: Sits
) -> None:
    person = sits(member(clew, "critic", input_schema={"type": "object"}))
    [note, answer] = left(person)
    assert note.startswith('clew: delegate_task_to_member({"member_id": "critic", ')
    assert "failed" in note
    assert answer == "All done."


def test_a_member_of_a_team_in_the_team_is_named_with_its_team(clew: Clew, sits: Sits) -> None:
    inner = crew(clew, busy(clew, "digger"), name="diggers", asked="diggers: look")
    person = sits(inner)
    draws(person, "diggers/digger: wc")
    let_go(clew)
    lines = left(person)
    assert "clew: diggers/digger is done (TIME, 10 tokens): digger has looked" in lines
    assert "clew: diggers is done (TIME, 20 tokens): All done." in lines


@pytest.mark.parametrize("mode", ["coordinate", "broadcast"])
def test_what_members_say_never_mixes_with_the_answer(clew: Clew, sits: Sits, mode: str) -> None:
    asked = {"asked": "go"} if mode == "broadcast" else {}
    members = [member(clew, name, **asked) for name in ("critic", "editor")]
    lines = left(sits(*members, mode=mode))
    assert [line for line in lines if not line.startswith("clew: ")] == ["All done."]


def test_the_answer_of_the_member_that_was_picked_is_printed_once(clew: Clew, sits: Sits) -> None:
    lines = left(sits(member(clew, "critic", answer="Two faults."), mode="route"))
    assert [line for line in lines if not line.startswith("clew: ")] == ["Two faults."]


def test_nothing_is_said_of_members_where_nobody_watches(clew: Clew) -> None:
    team = written(clew, crew(clew, member(clew, "critic")))
    done = clew("run", "-s", "s", "--team", team, "go")
    assert (done.out, done.err) == ("All done.\n", "clew: session s\n")


def test_with_v_each_member_is_told_when_it_begins_and_when_it_ends(clew: Clew) -> None:
    let_go(clew)
    team = written(clew, crew(clew, busy(clew, "editor")))
    notes = clew("run", "-v", "--team", team, "go").err
    told = re.sub(r"\(\d+\.\d s", "(TIME", notes).splitlines()
    assert "clew: asking editor: editor: look" in told
    assert 'clew: editor: calling wc({"to": "editor"})' in told
    assert "clew: editor: wc is done (TIME): found" in told
    assert "clew: editor is done (TIME, 10 tokens): editor has looked" in told
    assert "delegate_task_to_member" not in notes


def events(clew: Clew, *members: Json, **more: Any) -> list[Json]:
    team = written(clew, crew(clew, *members, **more))
    found: list[Json] = clew("run", "-s", "s", "-o", "stream-json", "--team", team, "go").lines
    return found


def test_the_events_of_members_stand_between_those_of_the_team(clew: Clew) -> None:
    found = events(clew, member(clew, "critic"), member(clew, "editor"))
    assert (found[0]["event"], found[-1]["event"]) == ("TeamRunStarted", "TeamRunCompleted")
    assert [event for event in found[:-1] if "run" in event] == []
    crews = found[-1]["run"]["run_id"]
    whose = {event["run_id"]: (event.get("name"), event["parent_run_id"]) for event in found}
    made = {line["run_id"]: (line["name"], line["parent_run_id"]) for line in clew.stored("s")}
    assert whose == made | {crews: (None, None)}


def test_every_event_of_a_team_fits_the_schema(clew: Clew) -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(clew("schema", "event").json)
    lost = member(clew, "lost", asked="something else")
    found = events(clew, member(clew, "critic"), lost)
    assert [error.message for event in found for error in validator.iter_errors(event)] == []


@pytest.mark.parametrize("mode", ["coordinate", "route", "broadcast"])
def test_only_the_teams_own_content_events_make_its_content(clew: Clew, mode: str) -> None:
    asked = {"asked": "go"} if mode == "broadcast" else {}
    found = events(clew, member(clew, "critic", **asked), mode=mode)
    own = [event["content"] for event in found if event["event"] == "TeamRunContent"]
    assert "".join(own) == found[-1]["run"]["content"]
    assert found[-1]["run"]["content"] == ("critic has looked" if mode == "route" else "All done.")


def test_a_member_ends_before_the_call_that_had_it_work(clew: Clew) -> None:
    found = events(clew, member(clew, "critic"), member(clew, "lost", asked="something else"))
    ended = [event["run_id"] for event in found if event["event"] in ("RunCompleted", "RunError")]
    calls = [
        (number, event["tool"]["child_run_id"])
        for number, event in enumerate(found)
        if event["event"] in ("TeamToolCallCompleted", "TeamToolCallError")
    ]
    assert len(calls) == len(ended) == 2
    for number, child in calls:
        assert child in [event["run_id"] for event in found[:number] if "metrics" in event]


def test_the_end_of_a_member_tells_what_it_used_or_why_it_failed(clew: Clew) -> None:
    found = events(clew, member(clew, "critic"), member(clew, "lost", asked="something else"))
    [done] = [event for event in found if event["event"] == "RunCompleted"]
    [failed] = [event for event in found if event["event"] == "RunError"]
    assert (done["name"], done["metrics"]["total_tokens"]) == ("critic", 10)
    assert (failed["name"], failed["error"]["kind"]) == ("lost", "replay_miss")


def test_the_events_of_a_team_that_is_stopped_end_with_the_teams(clew: Clew) -> None:
    editor = busy(clew, "editor")
    team = written(clew, crew(clew, member(clew, "critic"), editor))
    process = clew.start("run", "-o", "stream-json", "--team", team, "go")
    assert process.stdout
    found = [json.loads(process.stdout.readline())]
    while not {"RunCompleted", "ToolCallStarted"} <= {event["event"] for event in found}:
        found.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    found += map(json.loads, process.stdout)  # communicate() would not see what is buffered here
    process.communicate()
    stopped = [event.get("name") for event in found if event["event"].endswith("RunCancelled")]
    assert stopped == ["editor", None]
    assert [event["event"] for event in found if "run" in event] == [found[-1]["event"]]


def test_a_team_that_had_run_before_is_told_in_the_teams_words(clew: Clew) -> None:
    team = written(clew, crew(clew, member(clew, "critic")))
    run = ("run", "--run-id", "r", "-o", "stream-json", "--team", team, "go")
    clew(*run)
    told = clew(*run).lines
    assert [event["event"] for event in told] == [
        "TeamRunStarted",
        "TeamRunContent",
        "TeamRunCompleted",
    ]


def test_members_at_work_at_once_never_write_into_each_others_lines(clew: Clew) -> None:
    said = " ".join(f"word{number}" for number in range(200))
    names = [f"m{number}" for number in range(8)]
    members = [member(clew, name, answer=f"{name} {said}", asked="go") for name in names]
    found = events(clew, *members, mode="broadcast")
    for name in names:
        own = [e["content"] for e in found if e.get("name") == name and e["event"] == "RunContent"]
        assert "".join(own) == f"{name} {said}"


def asking(clew: Clew, name: str) -> Json:
    """A member whose tool `send` has to be allowed."""
    send = tool(clew, requires_confirmation=True)
    return member(clew, name, [call("c1", "send", to=name)], tools=[send])


def test_a_question_says_whose_call_it_is_about(clew: Clew, sits: Sits) -> None:
    inner = crew(clew, asking(clew, "digger"), name="diggers", asked="diggers: look")
    person = sits(inner)
    person.sees('clew: diggers/digger wants to call send({"to": "digger"})')
    person.sees("run it? ")
    person.types("y\n")
    assert 'clew: diggers/digger: send({"to": "digger"}) is done (TIME): sent' in left(person)


def test_nothing_is_told_into_the_line_of_a_question(clew: Clew, sits: Sits) -> None:
    person = sits(busy(clew, "editor"), asking(clew, "critic"))
    question = "run it? [y/N, or why not] "
    asked = person.shows(question)
    let_go(clew)
    eventually(lambda: "editor" in str(clew("history", "-s", "s", "--all", "--json").lines))
    assert person.shows(question) == asked
    person.types("y\n")
    lines = left(person)
    assert f"{question}y" in lines
    assert "clew: editor is done (TIME, 10 tokens): editor has looked" in lines


def test_a_stop_at_a_members_question_is_told_on_a_line_of_its_own(clew: Clew, sits: Sits) -> None:
    person = sits(asking(clew, "critic"))
    person.shows("run it? [y/N, or why not] ")
    person.types(b"\x03")
    _, shown = person.end()
    lines = screen(shown.replace("^C", ""))
    assert "run it? [y/N, or why not]" in lines
    assert "clew: the run was stopped" in lines


def test_a_pause_says_which_members_wait_and_how_each_is_settled(clew: Clew) -> None:
    team = written(clew, crew(clew, asking(clew, "critic"), asking(clew, "editor")))
    paused = clew("run", "-s", "s", "--team", team, "go", code=6)
    for name in ("critic", "editor"):
        told = rf'clew: paused: {name}: send\(\{{"to": "{name}"\}}\) \[(\S+)\] waits for --confirm'
        match = re.search(told, paused.err)
        assert match
        clew("continue", "-s", "s", f"--confirm={match[1]}", code=6 if name == "critic" else 0)


def test_a_member_that_waits_is_told_as_such_with_v(clew: Clew) -> None:
    team = written(clew, crew(clew, asking(clew, "critic")))
    notes = clew("run", "-v", "--team", team, "go", code=6).err
    assert re.search(r"clew: critic waits for somebody \(\d+\.\d s, 0 tokens\)\n", notes)


def test_with_v_a_list_of_tasks_is_told_with_who_does_them_and_what_is_left(clew: Clew) -> None:
    leader = says(clew, "leader", [create("one"), create("two", "b")], [execute("1")], "Early.")
    team = taskteam(clew, leader, max_iterations=2)
    notes = clew("run", "-v", "--team", team, "go", code=5).err
    assert "clew: asking a: task 1\n" in notes
    assert "clew: not done: 2 [pending] two (b); asking to go on (2 of 2)\n" in notes
