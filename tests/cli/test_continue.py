"""`clew continue`: which session, its history, and what it takes over."""

import os
from typing import Any

import pytest

from tests.conftest import Clew
from tests.terminal import in_terminal


def said(line: Any) -> list[str]:
    return [message["content"] for message in line["messages"]]


def as_sent(clew: Clew, line: Any) -> list[str]:
    sent = clew("history", "-s", line["session_id"], f"--as-sent={line['run_id']}", "--json")
    return [message["content"] for message in sent.lines]


@pytest.fixture
def talk(clew: Clew, model: str) -> Clew:
    """A world in which session `s` has three turns."""
    for word in ("one", "two", "three"):
        clew("run", "-m", model, "-s", "s", word)
    return clew


def test_continue_sends_the_earlier_turns(talk: Clew) -> None:
    line = talk("continue", "-s", "s", "--json", "four").json
    assert line["history"] == {"runs": 3, "first_seq": 1, "last_seq": 3, "left_out": 0}
    assert said(line) == ["four", "answer four"]
    expected = ["one", "answer one", "two", "answer two", "three", "answer three", "four"]
    assert as_sent(talk, line) == expected


def test_history_runs_sends_the_newest_and_says_what_was_left_out(talk: Clew) -> None:
    result = talk("continue", "-s", "s", "--history-runs", "2", "--json", "four")
    assert result.json["history"] == {"runs": 2, "first_seq": 2, "last_seq": 3, "left_out": 1}
    assert "1 earlier turn not sent" in result.err


@pytest.mark.parametrize(
    ("option", "runs"),
    [
        ("--history-runs=0", 0),
        ("--history-messages=5", 2),
        ("--history-messages=0", 0),
        ("--history-tokens=0", 0),
        ("--history-tokens=1000", 3),
        ("--no-history", 0),
    ],
)
def test_limits_of_the_history_send_whole_turns_only(talk: Clew, option: str, runs: int) -> None:
    assert talk("continue", "-s", "s", option, "--json", "four").json["history"]["runs"] == runs


def test_a_failed_run_is_no_part_of_the_history(talk: Clew) -> None:
    talk("continue", "-s", "s", "unheard of", code=3)
    line = talk("continue", "-s", "s", "--json", "four").json
    assert line["history"] == {"runs": 3, "first_seq": 1, "last_seq": 3, "left_out": 0}


def test_model_system_prompt_and_options_are_inherited(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--system", "Be brief.", "--option", "top_p=1", "one")
    line = clew("continue", "-s", "s", "--json", "two").json
    assert line["model"] == model
    assert line["options"]["system"] == said(line)[0] == "Be brief."
    assert line["options"]["option"] == {"top_p": 1}


def test_inheritance_passes_over_failed_runs(clew: Clew, model: str) -> None:
    other = clew.recording(("hi", "other"), name="other.jsonl")
    clew("run", "-m", model, "-s", "s", "one")
    clew("run", "-m", other, "-s", "s", "--system", "Shout.", "unheard of", code=3)
    line = clew("continue", "-s", "s", "--json", "two").json
    assert (line["model"], "system" in line["options"]) == (model, False)


def test_limits_schema_and_metadata_are_not_inherited(clew: Clew) -> None:
    model = clew.recording(("one", '{"a": 1}'), ("two", "plain"))
    limits = ["--schema", "a int", "--meta", "k=v", "--max-tokens", "9", "--timeout", "99"]
    clew("run", "-m", model, "-s", "s", *limits, "one")
    line = clew("continue", "-s", "s", "--json", "two").json
    assert line["data"] is None and line["metadata"] == {}
    assert {"schema", "max_tokens", "timeout"}.isdisjoint(line["options"])


def test_the_flag_wins_over_the_session_and_the_session_over_the_environment(
    clew: Clew, model: str
) -> None:
    other = clew.recording(("two", "other"), ("three", "other"), name="other.jsonl")
    clew("run", "-m", model, "-s", "s", "one")
    assert clew("continue", "-s", "s", "two", env={"CLEW_MODEL": other}).out == "answer two\n"
    assert clew("continue", "-s", "s", "-m", other, "three").out == "other\n"


def test_the_session_of_the_environment_is_used_and_said(talk: Clew, model: str) -> None:
    talk("run", "-m", model, "-s", "later", "one")
    result = talk("continue", "--json", "four", env={"CLEW_SESSION": "s"})
    assert result.json["session_id"] == "s"
    assert "$CLEW_SESSION" in result.err


def test_an_empty_variable_counts_as_unset(talk: Clew) -> None:
    result = talk("continue", "--json", "four", env={"CLEW_SESSION": "", "CLEW_USER": ""})
    assert (result.json["session_id"], result.json["user_id"]) == ("s", "default")


def test_otherwise_the_last_used_session_is_used_and_said(talk: Clew, model: str) -> None:
    talk("run", "-m", model, "-s", "later", "one")
    result = talk("continue", "--json", "two")
    assert result.json["session_id"] == "later"
    assert "later" in result.err and "last used" in result.err
    assert talk("continue", "-q", "three").err == ""


def test_a_change_of_the_state_is_use_and_a_look_is_none(talk: Clew, model: str) -> None:
    talk("run", "-m", model, "-s", "later", "one")
    talk("history", "-s", "s")
    assert talk("continue", "--json", "two").json["session_id"] == "later"
    talk("state", "set", "-s", "s", "a=1")
    assert talk("continue", "--json", "four").json["session_id"] == "s"


def test_the_session_last_used_in_this_terminal_goes_first(clew: Clew, model: str) -> None:
    script = (
        f"clew run -q -m {model} -s here one;"
        f"setsid clew run -q -m {model} -s elsewhere one </dev/null >/dev/null 2>&1;"
        "clew continue --json two > line.json"
    )
    code, shown = in_terminal(clew, script)
    assert code == 0
    assert b"session here (last used in this terminal)" in shown
    assert '"session_id":"here"' in (clew.cwd / "line.json").read_text()
    assert clew("continue", "--json", "three").json["session_id"] == "here"


def test_another_user_has_another_last_session(talk: Clew) -> None:
    assert "no session yet" in talk("continue", "-u", "anna", "four", code=3).err


def test_a_unique_prefix_of_a_generated_id_is_enough(clew: Clew, model: str) -> None:
    known = clew("run", "-m", model, "--json", "one").json["session_id"]
    assert clew("continue", "-s", known[:4], "--json", "two").json["session_id"] == known


@pytest.mark.parametrize("ref", ["tri", "trip-to-lyo", "@nobody", "nowhere"])
def test_a_session_that_is_not_found_is_exit_3_and_no_fresh_start(
    clew: Clew, model: str, ref: str
) -> None:
    clew("run", "-m", model, "-s", "trip-to-lyon", "one")
    clew("continue", "-m", model, "-s", ref, "hi", code=3)
    assert [path.name for path in clew.session_file("x").parent.glob("*.jsonl")] == [
        "trip-to-lyon.jsonl"
    ]


def test_three_characters_are_no_prefix(clew: Clew, model: str) -> None:
    known = clew("run", "-m", model, "--json", "one").json["session_id"]
    clew("continue", "-s", known[:3], "two", code=3)


def test_an_ambiguous_prefix_is_exit_2_with_the_candidates(clew: Clew, model: str) -> None:
    ids = [f"0f0f0f0f-0000-4000-8000-00000000000{n}" for n in (1, 2)]
    for one in ids:
        clew("run", "-m", model, "-s", one, "one")
    result = clew("continue", "-s", "0f0f", "two", code=2)
    assert all(one in result.err for one in ids)
    assert [len(clew.stored(one)) for one in ids] == [1, 1]


def test_a_name_of_another_user_is_not_found(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--name", "trip", "one")
    assert clew("continue", "-s", "@trip", "two").out == "answer two\n"
    clew("continue", "-u", "anna", "-s", "@trip", "two", code=3)


def test_continue_may_name_its_session(talk: Clew) -> None:
    talk("continue", "-s", "s", "--name", "trip", "four")
    assert talk("continue", "-s", "@trip", "--json", "five").json["session_id"] == "s"


def test_a_retold_recording_may_be_a_session_itself(talk: Clew) -> None:
    assert talk("run", "-m", "replay:s", "-s", "t", "two").out == "answer two\n"


def test_what_is_said_now_goes_before_what_is_inherited(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--system", "Old.", "--option", "top_p=1", "one")
    new = ["--system", "New.", "--option", "top_p=0.5"]
    options = clew("continue", "-s", "s", *new, "--json", "two").json["options"]
    assert (options["system"], options["option"]) == ("New.", {"top_p": 0.5})


def test_a_recording_is_found_again_from_another_folder(clew: Clew, model: str) -> None:
    (clew.cwd / "elsewhere").mkdir()
    name = os.path.relpath(model.removeprefix("replay:"), clew.cwd)
    clew("run", "-m", f"replay:{name}", "-s", "s", "one")
    done = clew("continue", "-s", "s", "two", cwd=clew.cwd / "elsewhere")
    assert done.out == "answer two\n"


@pytest.mark.parametrize("history", ["--history", "--no-history"])
def test_what_is_skipped_in_the_session_is_said_once(talk: Clew, history: str) -> None:
    talk("continue", "-s", "s", "unheard of", code=3)
    path = talk.session_file("s")
    *good, failed = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*good, b"no line\n", failed]))
    told = talk("continue", "-q", "-s", "s", history, "four").err
    assert told.count(": skipped: ") == 1
