"""Asking on the terminal whether a tool may run, and for what only a person knows."""

import shlex
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import Json, call, plays, sent, tool
from tests.terminal import Person, in_terminal

QUESTION = "run it? [y/N, or why not] "


Sits = Callable[..., Person]


@pytest.fixture
def sits(clew: Clew) -> Iterator[Sits]:
    """Start a clew in front of a person."""
    people: list[Person] = []

    def start(*arguments: str, **options: Any) -> Person:
        people.append(Person(clew, *arguments, **options))
        return people[-1]

    yield start
    for person in people:
        person.leave()


def asking(clew: Clew, *calls: Json, **definition: Any) -> tuple[str, ...]:
    """Return a call of `clew run` whose model makes these calls."""
    calls = calls or (call("c1", to="a"),)
    needs = definition or {"requires_confirmation": True}
    return ("run", "-s", "s", "-m", plays(clew, list(calls)), "-t", tool(clew, **needs), "go")


def result(line: Json) -> str:
    (said,) = (message["content"] for message in line["messages"] if message["role"] == "tool")
    return str(said)


@pytest.mark.parametrize("options", [(), ("-q",), ("--approve", "ask"), ("--json",)])
def test_the_person_is_shown_exactly_what_will_run_and_asked(
    clew: Clew, sits: Sits, options: tuple[str, ...]
) -> None:
    person = sits(*asking(clew), *options)
    shown = person.sees(QUESTION)
    assert 'send({"to": "a"})' in shown
    assert "sh -c 'printf" in shown
    assert sent(clew) == []
    person.types("n\n")
    assert person.end()[0] == 0


@pytest.mark.parametrize("answer", ["y", "Y", "yes", " y "])
def test_a_yes_runs_it(clew: Clew, sits: Sits, answer: str) -> None:
    person = sits(*asking(clew))
    person.sees(QUESTION)
    person.types(f"{answer}\n")
    code, shown = person.end()
    assert (code, sent(clew)) == (0, [{"to": "a"}])
    assert "Done." in shown
    (line,) = clew.stored("s")
    assert line["requirements"][0]["decision"] == "confirmed"
    assert line["requirements"][0]["by"] == "default"


@pytest.mark.parametrize("answer", ["", "n", "N", "no"])
def test_anything_like_no_does_not(clew: Clew, sits: Sits, answer: str) -> None:
    person = sits(*asking(clew))
    person.sees(QUESTION)
    person.types(f"{answer}\n")
    assert (person.end()[0], sent(clew)) == (0, [])
    (said,) = clew.stored("s")[0]["requirements"]
    assert (said["decision"], said["note"]) == ("rejected", None)


def test_any_other_answer_is_a_no_and_tells_the_model_why(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew))
    person.sees(QUESTION)
    person.types("yesterday was better\n")
    assert (person.end()[0], sent(clew)) == (0, [])
    (line,) = clew.stored("s")
    assert line["requirements"][0]["note"] == "yesterday was better"
    assert result(line).endswith("yesterday was better")


def test_what_is_typed_and_is_no_text_is_replaced(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew))
    person.sees(QUESTION)
    person.types(b"not \xff now\n")
    assert person.end()[0] == 0
    assert clew.stored("s")[0]["requirements"][0]["note"] == "not \ufffd now"


def test_a_terminal_that_cannot_be_read_leaves_it_open_and_the_run_pauses(clew: Clew) -> None:
    words = shlex.join(("clew", *asking(clew)))
    # A job in the background that ignores the signal to stop is refused what it would read.
    script = f"trap '' TTIN; set -m; {words} & wait $!"
    code, shown = in_terminal(clew, script)
    assert QUESTION in shown.decode()
    assert (code, clew.stored("s")[0]["status"], sent(clew)) == (6, "PAUSED", [])


def test_the_end_of_input_leaves_it_open_and_the_run_pauses(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew))
    person.sees(QUESTION)
    person.types(b"\x04")
    code, shown = person.end()
    assert (code, sent(clew)) == (6, [])
    assert "[c1] waits for --confirm or --reject" in shown
    assert clew("continue", "-s", "s", "--confirm").out == "Done.\n"
    assert sent(clew) == [{"to": "a"}]


def test_an_interrupt_at_the_question_cancels_the_run(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew))
    person.sees(QUESTION)
    person.types(b"\x03")
    assert person.end()[0] == -signal.SIGINT
    assert [line["status"] for line in clew.stored("s")] == ["CANCELLED"]
    line = clew("continue", "-s", "s", "--resume", "--json").json
    assert (line["status"], sent(clew)) == ("COMPLETED", [])
    assert "before this tool was called" in result(line)


def test_a_run_killed_after_the_yes_does_not_run_it_later(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew, call("c1", to="a"), call("c2", to="b")))
    person.sees(QUESTION)
    person.types("y\n")
    person.sees(QUESTION)
    person.process.kill()
    person.end()
    line = clew("continue", "-s", "s", "--resume", "--json").json
    assert [run["status"] for run in clew.stored("s")] == ["INTERRUPTED", "COMPLETED"]
    assert clew.stored("s")[0]["requirements"][0]["decision"] == "confirmed"
    told = [message["content"] for message in line["messages"] if message["role"] == "tool"]
    assert len(told) == 2
    assert all("before this tool was called" in text for text in told)
    assert sent(clew) == []


def test_each_call_is_asked_about(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew, call("c1", to="a"), call("c2", to="b")))
    assert '{"to": "a"}' in person.sees(QUESTION)
    person.types("y\n")
    assert '{"to": "b"}' in person.sees(QUESTION)
    person.types(b"\x04")
    code, shown = person.end()
    assert (code, sent(clew)) == (6, [{"to": "a"}])
    assert "[c2]" in shown


def values() -> Json:
    fields: Json = {
        "count": {"type": "integer", "description": "how often"},
        "to": {"type": "string"},
    }
    parameters = {"type": "object", "properties": fields, "required": ["count", "to"]}
    return {"parameters": parameters, "requires_user_input": ["count", "to"]}


def test_values_are_asked_for_until_they_fit(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew, call("c1"), **values()))
    person.sees("count (how often): ")
    person.types("many\n")
    assert "'many'" in person.sees("count (how often): ")
    person.types("5\n")
    person.sees("to: ")
    person.types("7\n")
    assert person.end()[0] == 0
    assert sent(clew) == [{"count": 5, "to": "7"}]


def test_a_value_that_is_not_given_leaves_the_call_open(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew, call("c1"), **values()))
    person.sees("count (how often): ")
    person.types("5\n")
    person.sees("to: ")
    person.types(b"\x04")
    assert (person.end()[0], sent(clew)) == (6, [])


def test_a_result_from_outside_is_told_and_not_asked_for(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew, external=True))
    code, shown = person.end()
    assert code == 6
    assert 'send({"to": "a"})' in shown
    assert "--result" in shown


@pytest.mark.parametrize("redirect", ["</dev/null", "2>/dev/null"])
def test_where_nobody_can_see_and_answer_nobody_is_asked(
    clew: Clew, sits: Sits, redirect: str
) -> None:
    person = sits(*asking(clew), redirect=redirect)
    assert (person.end()[0], sent(clew)) == (6, [])


@pytest.mark.parametrize(
    ("mode", "code", "calls"), [("pause", 6, 0), ("deny", 0, 0), ("auto", 0, 1)]
)
def test_a_mode_other_than_ask_asks_nobody(
    clew: Clew, sits: Sits, mode: str, code: int, calls: int
) -> None:
    ended, shown = sits(*asking(clew), "--approve", mode).end()
    assert (ended, len(sent(clew))) == (code, calls)
    assert QUESTION not in shown


def test_a_paused_run_is_settled_at_the_terminal(clew: Clew, sits: Sits) -> None:
    clew(*asking(clew), code=6)
    person = sits("continue", "-s", "s", "--resume")
    person.sees(QUESTION)
    person.types("y\n")
    assert (person.end()[0], sent(clew)) == (0, [{"to": "a"}])


def test_what_an_option_settles_is_not_asked_and_the_rest_is(clew: Clew, sits: Sits) -> None:
    clew(*asking(clew, call("c1", to="a"), call("c2", to="b")), code=6)
    person = sits("continue", "-s", "s", "--reject=c1")
    assert '{"to": "b"}' in person.sees(QUESTION)
    person.types("y\n")
    assert (person.end()[0], sent(clew)) == (0, [{"to": "b"}])


def test_arguments_bring_no_control_characters_to_the_terminal(clew: Clew, sits: Sits) -> None:
    person = sits(*asking(clew, call("c1", to="\x1b[2Ja\u009b2J\rb")))
    shown = person.sees(QUESTION)
    assert not {"\x1b", "\u009b"} & set(shown)
    assert "\r" not in shown.replace("\r\n", "")
    person.types("n\n")
    assert person.end()[0] == 0
