"""What a user of agents expects of history (the behaviours H1 to H10)."""

import signal
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, plays, tool
from tests.stuck import stuck


def sent(clew: Clew, *options: str) -> list[tuple[str, str]]:
    """What `continue` would send."""
    shown = clew("continue", "-q", "-s", "s", *options, "--dry-run", "--json", "hi").json
    return [(message["role"], message["content"]) for message in shown["messages"]]


def asked(messages: list[tuple[str, str]]) -> list[str]:
    return [content for role, content in messages if role == "user"]


@pytest.fixture
def five(clew: Clew, model: str) -> Clew:
    """A world in which session `s` has five turns, each with the system prompt `Be brief.`."""
    for word in ("one", "two", "three", "four", "five"):
        clew("run", "-m", model, "-s", "s", "--system", "Be brief.", word)
    return clew


def test_the_system_message_is_sent_once_then_the_turns_oldest_first_then_the_question(
    five: Clew,
) -> None:
    turns = [
        pair
        for word in ("one", "two", "three", "four", "five")
        for pair in (("user", word), ("assistant", f"answer {word}"))
    ]
    assert sent(five) == [("system", "Be brief."), *turns, ("user", "hi")]
    new = sent(five, "--system", "Be kind.")
    assert new == [("system", "Be kind."), *turns, ("user", "hi")]


@pytest.mark.parametrize(("limit", "count"), [(None, 5), (9, 5), (3, 3), (1, 1), (0, 0)])
def test_all_turns_are_sent_or_the_newest_n_and_none_for_zero(
    five: Clew, limit: int | None, count: int
) -> None:
    options = () if limit is None else ("--history-runs", str(limit))
    words = ("one", "two", "three", "four", "five")[5 - count :]
    assert asked(sent(five, *options)) == [*words, "hi"]


@pytest.mark.parametrize("what", ["runs", "messages", "tokens", "tool-calls"])
def test_a_negative_limit_of_history_is_refused(five: Clew, what: str) -> None:
    result = five("continue", "-s", "s", f"--history-{what}", "-1", "hi", code=2)
    assert f"--history-{what}" in result.err


def test_runs_that_did_not_complete_are_not_sent_and_shown_with_their_status(
    clew: Clew, model: str
) -> None:
    """One that failed, paused, was cancelled, and one whose process was killed."""
    clew("run", "-m", model, "-s", "s", "one")
    clew("run", "-m", model, "-s", "s", "failed", code=3)
    pauses = plays(clew, [call("c1", to="a")], asked="paused")
    path = tool(clew, requires_confirmation=True)
    clew("run", "-m", pauses, "-t", path, "-s", "s", "paused", code=6)
    for stop in (signal.SIGINT, signal.SIGKILL):
        with stuck(clew, "run", "-s", "s") as process:
            process.send_signal(stop)
            process.communicate(timeout=200)
    clew("run", "-m", model, "-s", "s", "two")
    assert asked(sent(clew, "-m", model)) == ["one", "two", "hi"]
    shown = clew("history", "-s", "s").out
    for status in ("ERROR: ", "PAUSED", "CANCELLED: ", "INTERRUPTED: "):
        assert f"\n   {status}" in shown
    statuses = [line["status"] for line in clew("history", "-s", "s", "--json").lines]
    assert statuses == ["COMPLETED", "ERROR", "PAUSED", "CANCELLED", "INTERRUPTED", "COMPLETED"]


def test_each_of_ten_runs_with_history_holds_its_own_messages_only(clew: Clew) -> None:
    model = clew.recording(*((f"q{n}", f"a{n}") for n in range(10)))
    for number in range(10):
        clew("run", "-q", "-m", model, "-s", "s", "--system", "x", "--history", f"q{number}")
    said: list[Any] = [
        [message["content"] for message in line["messages"]] for line in clew.stored("s")
    ]
    assert said == [["x", f"q{number}", f"a{number}"] for number in range(10)]
    assert [line["history"]["runs"] for line in clew.stored("s")] == list(range(10))


def test_a_paused_run_that_goes_on_is_sent_each_earlier_turn_once(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    pauses = plays(clew, [call("c1", to="a")], asked="go")
    path = tool(clew, requires_confirmation=True)
    clew("continue", "-s", "s", "-m", pauses, "-t", path, "go", code=6)
    clew("continue", "-s", "s", "-m", model, "two")
    line = clew("continue", "-s", "s", "--confirm", "--json").json
    messages = clew("history", "-s", "s", f"--as-sent={line['run_id']}").lines
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "one"),
        ("assistant", "answer one"),
        ("user", "two"),
        ("assistant", "answer two"),
        ("user", "go"),
        ("assistant", ""),
        ("tool", "sent"),
    ]
    assert asked(sent(clew, "-m", model)) == ["one", "two", "go", "hi"]
