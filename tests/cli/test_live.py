"""What a terminal shows while a run goes on, and what is left there afterwards."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.attached import Pages
from tests.conftest import Clew
from tests.provider import Answer, Provider
from tests.summed_up import ASKS_FOR_NAME
from tests.terminal import Person, in_terminal, screen
from tests.toolcalls import call, calling, command, script

WAITING = "while [ ! -e go ]; do sleep 0.05; done; echo found"
PATIENCE = 1.5  # seconds in which a status line comes, where there is one

Sits = Callable[..., Person]


@pytest.fixture
def sits(clew: Clew) -> Iterator[Sits]:
    """Start a clew in front of a person whose terminal can do all that it needs."""
    people: list[Person] = []
    clew.env["TERM"] = "xterm"

    def start(*arguments: str, **options: Any) -> Person:
        people.append(Person(clew, "run", *arguments, **options))
        return people[-1]

    yield start
    for person in people:
        person.leave()


def waiting(clew: Clew, words: str = "", **arguments: Any) -> tuple[str, ...]:
    """What runs a tool `t` that goes on until there is a file `go`."""
    model = calling(clew, [call("t", **arguments)], words=words)
    return ("-m", model, "-t", script(WAITING), "go")


def let_go(clew: Clew) -> None:
    (clew.cwd / "go").touch()


def left(person: Person) -> list[str]:
    """What is on the screen after the end, without the line that names the session."""
    code, shown = person.end()
    assert code == 0, shown
    return [line for line in screen(shown) if not line.startswith("clew: session ")]


def test_a_tool_that_runs_is_shown_with_its_arguments_and_its_time(clew: Clew, sits: Sits) -> None:
    person = sits(*waiting(clew, n=1))
    person.draws('t({"n": 1})')
    let_go(clew)
    person.end()


def test_a_tool_that_ended_leaves_one_line_and_nothing_else_is_left(clew: Clew, sits: Sits) -> None:
    person = sits(*waiting(clew, n=1))
    person.draws('t({"n": 1})')
    let_go(clew)
    tool, answer = left(person)
    assert re.fullmatch(r'clew: t\(\{"n": 1\}\) is done \(\d+\.\d s\): found', tool)
    assert answer == "done"


def test_words_before_a_tool_call_stay_as_they_were(clew: Clew, sits: Sits) -> None:
    person = sits(*waiting(clew, words="Let me look."))
    person.draws("t({})")
    let_go(clew)
    assert left(person)[0] == "Let me look."


def test_tools_that_run_at_once_are_named_and_each_one_ends_in_its_line(
    clew: Clew, sits: Sits
) -> None:
    model = calling(clew, [call("t", "c1"), call("u", "c2")])
    tools = ("-t", script(WAITING), "-t", script(WAITING, name="u"))
    person = sits("-m", model, *tools, "go")
    person.draws("t, u")
    let_go(clew)
    lines = left(person)
    assert sorted(line[:14] for line in lines[:2]) == ["clew: t({}) is", "clew: u({}) is"]


def test_a_terminal_that_is_narrow_gets_a_status_that_fits(clew: Clew, sits: Sits) -> None:
    person = sits(*waiting(clew, path="それは長い" * 20), columns=40)
    shown = person.draws("…")
    let_go(clew)
    person.end()
    found = re.findall(r"\x1b\[2m(.*?)\x1b\[0m", shown)
    assert found
    for drawn in found:
        assert len(drawn) + sum(character > "\u3000" for character in drawn) < 40


def test_a_model_that_says_nothing_yet_is_shown_with_its_time(
    clew: Clew, sits: Sits, provider: Provider
) -> None:
    gate = threading.Event()

    def late(_body: Any) -> Answer:
        gate.wait(100)
        return Answer("hello there")

    provider.default = late
    person = sits("-m", "openai/test-model", "go")
    provider.wait_for_requests(1)
    person.draws("openai/test-model")
    gate.set()
    assert left(person) == ["hello there"]


def test_the_naming_of_a_session_is_shown_with_its_time(
    clew: Clew, sits: Sits, provider: Provider
) -> None:
    gate = threading.Event()

    def late(body: Any) -> Answer:
        if ASKS_FOR_NAME not in str(body):
            return Answer("hello there")
        gate.wait(100)
        return Answer("Small talk")

    provider.default = late
    (clew.cwd / "a.yaml").write_text("{autogenerate_session_name: true}")
    person = sits("-a", "./a.yaml", "-m", "openai/test-model", "go")
    person.draws("naming the session")
    gate.set()
    assert left(person) == ["hello there"]


def test_what_is_fetched_before_the_run_is_shown_and_leaves_nothing(clew: Clew, sits: Sits) -> None:
    fetched = threading.Event()
    with Pages() as pages:
        url = pages.answer("/late.txt", lambda handler: _late(handler, fetched))
        person = sits("-m", clew.recording(("go", "done")), "--dry-run", "-f", url, "go")
        person.draws("attachments")
        fetched.set()
        assert left(person)[0] == "{"


def _late(handler: BaseHTTPRequestHandler, gate: threading.Event) -> None:
    gate.wait(100)
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"late")


def test_tool_servers_that_start_are_shown(clew: Clew, sits: Sits) -> None:
    model = clew.recording(("go", "done"))
    person = sits("-m", model, "-t", '{"mcp": {"command": ["sleep", "100"]}}', "go")
    person.shows("tool servers, replay:")


def test_an_answer_that_stops_in_its_midst_is_not_drawn_over(
    clew: Clew, sits: Sits, provider: Provider
) -> None:
    gate = threading.Event()
    provider.answer("hello there", gate=gate)
    person = sits("-m", "openai/test-model", "go")
    shown = person.shows("hello ")
    time.sleep(PATIENCE)
    assert person.shows("hello ") == shown
    gate.set()
    assert left(person) == ["hello there"]


def test_a_question_is_not_drawn_over_while_somebody_thinks(clew: Clew, sits: Sits) -> None:
    model = calling(clew, [call("t")])
    person = sits("-m", model, "-t", script(WAITING, requires_confirmation=True), "go")
    question = "run it? [y/N, or why not] "
    asked = person.shows(question)
    time.sleep(PATIENCE)
    assert person.shows(question) == asked
    person.types("y\n")
    person.draws("t({})")
    let_go(clew)
    assert f"{question}y" in left(person)


def test_a_stop_at_a_question_is_told_on_a_line_of_its_own(clew: Clew, sits: Sits) -> None:
    model = calling(clew, [call("t")])
    person = sits("-m", model, "-t", script(WAITING, requires_confirmation=True), "go")
    question = "run it? [y/N, or why not] "
    person.shows(question)
    person.types(b"\x03")
    _, shown = person.end()
    assert question.strip() in screen(shown.replace("^C", ""))


def test_a_stop_leaves_no_status_behind(clew: Clew, sits: Sits) -> None:
    person = sits(*waiting(clew))
    person.draws("t({})")
    person.types(b"\x03")
    _, shown = person.end()
    lines = screen(shown.replace("^C", ""))
    assert any("the run was stopped" in line for line in lines)
    assert all(line.startswith(("clew: ", "  hint: ")) for line in lines)


@pytest.mark.parametrize(
    "how",
    [
        "NO_COLOR=1 {run} go",
        "TERM=dumb {run} go",
        "env -u TERM {run} go",
        "{run} --color never go",
        "{run} -q go",
        "{run} -o stream-json go",
        "{run} go | cat",
        "{run} go 2> err; cat err",
        "set -m; {run} go & wait",
    ],
)
def test_no_status_is_drawn_where_it_cannot_be_or_is_not_wanted(clew: Clew, how: str) -> None:
    model = calling(clew, [call("t")])
    clew.env["TERM"] = "xterm"
    run = f"clew run -m {model} -t '{command('sleep', '1')}'"
    _, shown = in_terminal(clew, how.format(run=run))
    assert b"\x1b" not in shown
    assert b"\r" not in shown.replace(b"\r\n", b"")
    assert b"done" in shown


def test_a_short_run_leaves_its_answer_and_nothing_else(clew: Clew, model: str) -> None:
    clew.env["TERM"] = "xterm"
    code, shown = in_terminal(clew, f"clew run -s s -m {model} hi")
    assert (code, screen(shown.decode())) == (0, ["hello", "clew: session s"])


def test_usage_is_one_line_at_the_end(clew: Clew, model: str) -> None:
    clew.env["TERM"] = "xterm"
    _, shown = in_terminal(clew, f"clew run -s s -m {model} --usage hi")
    lines = screen(shown.decode())
    assert lines[:2] == ["hello", "clew: session s"]
    assert re.fullmatch(r"clew: \d+ tokens in, \d+ out, \$0\.000000, \d+\.\d s", lines[2])


def test_a_dumb_terminal_gets_no_colour(clew: Clew, model: str) -> None:
    clew.env["TERM"] = "dumb"
    _, shown = in_terminal(clew, f"clew run -m {model} --usage hi")
    assert b"\x1b" not in shown
