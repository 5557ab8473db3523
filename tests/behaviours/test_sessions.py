"""What a user of agents expects of sessions and their state (S1 to S8, X1 to X10)."""

import signal
from typing import Any

import pytest

from tests.conftest import Clew
from tests.paused import call, plays, tool
from tests.stuck import stuck


def as_sent(clew: Clew, line: Any) -> list[str]:
    sent = clew("history", "-s", line["session_id"], f"--as-sent={line['run_id']}")
    return [message["content"] for message in sent.lines]


def test_a_run_id_is_used_repeated_and_never_overwritten(clew: Clew, model: str) -> None:
    call = ("run", "-m", model, "-s", "s", "--run-id", "r", "--json")
    first = clew(*call, "one").json
    before = clew.session_file("s").read_bytes()
    assert (first["run_id"], clew(*call, "one").json) == ("r", first)
    clew(*call, "two", code=7)
    assert clew.session_file("s").read_bytes() == before


def test_of_names_the_last_one_counts_in_lists_and_looks(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--name", "first", "one")
    clew("sessions", "rename", "s", "second")
    clew("sessions", "rename", "@second", "third")
    assert clew("sessions", "list", "--json").json["name"] == "third"
    assert clew("sessions", "show", "@third", "--json").json["session_id"] == "s"
    for gone in ("@first", "@second", "nowhere"):
        clew("sessions", "rename", gone, "fourth", code=3)


def test_two_sessions_in_turn_never_mix_their_histories_and_states(clew: Clew) -> None:
    words = {"a": ("apple", "pear"), "b": ("iron", "gold")}
    model = clew.recording(*((word, f"{word}!") for both in words.values() for word in both))
    for number in range(2):
        for session, both in words.items():
            state = ("--state", f'{{"{both[number]}": {number}}}')
            clew("run", "-m", model, "-s", session, "--history", *state, both[number])
    for session, (first, second) in words.items():
        line = clew.stored(session)[-1]
        assert as_sent(clew, line) == [first, f"{first}!", second]
        assert line["session_state"] == {first: 0, second: 1}


def test_a_state_is_kept_whatever_the_end_of_its_run(clew: Clew, model: str) -> None:
    """A failure, a pause, a cancelled run, and one whose process was killed."""
    clew("run", "-m", model, "-s", "s", "--state", '{"failed": 1}', "unheard of", code=3)
    asks = plays(clew, [call("c1", to="a")])
    path = tool(clew, requires_confirmation=True)
    go = ("run", "-m", asks, "-t", path, "-s", "s", "--state", '{"paused": 1}', "go")
    clew(*go, code=6)
    with stuck(clew, "run", "-s", "s", "--state", '{"cancelled": 1}') as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=200)
    with stuck(clew, "run", "-s", "s", "--state", '{"killed": 1}') as process:
        process.kill()
        process.communicate(timeout=200)
    clew("state", "-s", "s", "set", "after:=1")
    assert [line.get("status") for line in clew.stored("s")] == [
        *("ERROR", "PAUSED", "CANCELLED", "INTERRUPTED", None)
    ]
    kept = ("failed", "paused", "cancelled", "killed", "after")
    assert clew("state", "-s", "s").json == dict.fromkeys(kept, 1)


def test_a_state_that_was_set_is_there_at_once_and_for_the_next_run(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    clew("state", "-s", "s", "set", "city=Lyon")
    assert clew("state", "-s", "s", "get", "city", "-r").out == "Lyon\n"
    assert clew("continue", "-s", "s", "--json", "two").json["session_state"] == {"city": "Lyon"}
    clew("state", "-s", "none", "set", "city=Lyon", code=3)


@pytest.mark.parametrize("remove", ["unset", "patch", "run"])
def test_a_key_that_was_removed_stays_removed(clew: Clew, model: str, remove: str) -> None:
    clew("run", "-m", model, "-s", "s", "--state", '{"a": 1, "b": 1}', "one")
    if remove == "unset":
        clew("state", "-s", "s", "unset", "a")
    elif remove == "patch":
        clew("state", "-s", "s", "patch", stdin='{"a": null}')
    else:
        clew("run", "-m", model, "-s", "s", "--state", '{"a": null}', "two")
    line = clew("continue", "-m", model, "-s", "s", "--json", "three").json
    assert line["session_state"] == {"b": 1}


def test_a_name_by_itself_has_five_words_at_most_and_a_failing_model_is_no_crash(
    clew: Clew,
) -> None:
    (clew.cwd / "agent.yaml").write_text("autogenerate_session_name: true\n")
    asked = "Name this conversation in at most five words."
    stubborn = clew.recording(("hi", "hello"), (asked, '"One two three four five six"'))
    clew("run", "-m", stubborn, "-a", "./agent.yaml", "-s", "a", "hi")
    failing = clew.recording(("hi", "hello"), name="failing.jsonl")
    clew("run", "-m", failing, "-a", "./agent.yaml", "-s", "b", "hi")
    names = [clew("sessions", "show", one, "--json").json["name"] for one in ("a", "b")]
    assert names == ["One two three four five", "hi"]


def test_a_summary_is_put_in_place_of_the_last_one_and_sent_and_its_failure_is_no_run_s(
    clew: Clew,
) -> None:
    wants = "enable_session_summaries: true\nsummary_tokens: 1\nnum_history_runs: 0\n"
    (clew.cwd / "agent.yaml").write_text(wants)
    asked = "Provide the summary of the conversation."
    for number in (1, 2):
        model = clew.recording(("hi", "hello"), (asked, f"Summary {number}."))
        clew("run", "-m", model, "-a", "./agent.yaml", "-s", "s", "hi")
    failing = clew.recording(("hi", "hello"), name="failing.jsonl")
    result = clew("continue", "-m", failing, "-s", "s", "--json", "hi")
    assert "no summary was made" in result.err
    assert result.json["status"] == "COMPLETED"
    [system, _] = as_sent(clew, result.json)
    assert ("Summary 1." in system, "Summary 2." in system) == (False, True)
