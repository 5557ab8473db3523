"""Names that a model gives to sessions."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.summed_up import ASKS_FOR_NAME, asked, summarizing
from tests.torture.checker import check

NAMED = {"enable_session_summaries": False, "autogenerate_session_name": True}
RUN = ("run", "-a", "own:agent", "-s", "s")


def name_of(clew: Clew, session: str = "s") -> Any:
    return clew("sessions", "show", session, "--json").json["name"]


@pytest.fixture
def naming(clew: Clew) -> Clew:
    """A world in which the sessions of `own:agent` get a name."""
    summarizing(clew, **NAMED)
    return clew


def test_a_session_gets_a_name_after_its_first_completed_run_and_only_then(naming: Clew) -> None:
    naming(*RUN, "--max-total-tokens", "1", "zero", code=5)
    assert asked(naming, ASKS_FOR_NAME) == []
    for word in ("one", "two"):
        naming(*RUN, word)
    assert len(asked(naming, ASKS_FOR_NAME)) == 1
    assert [line["type"] for line in naming.stored("s")] == ["run", "run", "session", "run"]
    line = naming.stored("s")[2]
    assert (line["name"], line["summary"], line["error"]) == ("Counting", None, None)
    assert naming("history", "-s", "@Counting", "--json").lines[1]["input"] == "one"


def test_no_session_gets_a_name_unless_it_is_asked_for(clew: Clew) -> None:
    summarizing(clew, enable_session_summaries=False)
    clew(*RUN, "one")
    assert name_of(clew) is None


def test_a_name_that_somebody_gave_is_kept(naming: Clew) -> None:
    naming(*RUN, "--name", "mine", "one")
    assert (name_of(naming), asked(naming, ASKS_FOR_NAME)) == ("mine", [])


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('"Counting from one."', "Counting from one"),
        ("Counting from one to three, slowly", "Counting from one to three"),
        ("\n**Counting**\nHere is why.", "Counting"),
        ("<think>It counts.</think>Counting", "Counting"),
        ("Counting\tsheep", "Counting sheep"),
        ("Zählen; « eins »", "Zählen; « eins"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_name_is_at_most_five_printable_words(naming: Clew, said: str, name: str) -> None:
    naming.env["NAME"] = said
    naming(*RUN, "one")
    assert name_of(naming) == name


def test_a_name_that_is_taken_gets_a_number(naming: Clew) -> None:
    for session in ("a", "b", "c"):
        naming("run", "-a", "own:agent", "-s", session, "one")
    names = [name_of(naming, session) for session in ("a", "b", "c")]
    assert names == ["Counting", "Counting 2", "Counting 3"]


def test_where_the_model_gives_no_name_the_prompt_does(naming: Clew) -> None:
    naming.env["NAME"] = ""
    result = naming(*RUN, "Count", "from one to three, please.")
    assert result.out == "answer Count\n"
    assert "clew: named after its prompt: the model answered nothing" in result.err
    assert name_of(naming) == "Count from one to three"
    assert naming.stored("s")[-1]["error"]["kind"] == "model"


def test_a_name_is_counted_as_naming_and_once(naming: Clew) -> None:
    naming(*RUN, "one")
    run, line = naming.stored("s")
    assert [call["kind"] for call in line["metrics"]["details"]] == ["naming"]
    total = line["session_metrics"]["total_tokens"]
    assert total == run["metrics"]["total_tokens"] + line["metrics"]["total_tokens"] == 24
    assert check(naming.session_file("s")) == []
    assert naming("sessions", "verify", "s").out == ""


def test_a_name_and_a_summary_share_what_the_run_has_left(clew: Clew) -> None:
    summarizing(clew, autogenerate_session_name=True)
    result = clew(*RUN, "--max-total-tokens", "250", "one")
    assert name_of(clew) == "Counting"
    assert "no summary was made: the limit of" in result.err


def test_where_the_run_left_too_little_for_a_name_the_limit_is_told_as_it_was_set(
    naming: Clew,
) -> None:
    result = naming(*RUN, "--max-total-tokens", "50", "one")
    assert "clew: named after its prompt: the limit of 50 tokens was reached\n" in result.err


def test_rename_auto_prints_the_name_it_gives(clew: Clew, model: str) -> None:
    clew("run", "-q", "-m", model, "-s", "s", "--name", "old", "one")
    namer = clew.recording((ASKS_FOR_NAME, '"Small numbers"'), name="names.jsonl")
    assert clew("sessions", "rename", "s", "--auto", "-m", namer).out == "Small numbers\n"
    assert name_of(clew) == "Small numbers"
    assert clew.stored("s")[-1]["by"] is None


def test_rename_auto_counts_a_name_that_the_session_has_already(clew: Clew, model: str) -> None:
    clew("run", "-q", "-m", model, "-s", "s", "--name", "Numbers", "one")
    path = clew.cwd / "names.jsonl"
    metrics = {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6}
    record = {"input": ASKS_FOR_NAME, "content": "Numbers", "metrics": metrics}
    path.write_text(json.dumps(record) + "\n")
    assert clew("sessions", "rename", "s", "--auto", "-m", f"replay:{path}").out == "Numbers\n"
    line = clew.stored("s")[-1]
    assert (line["name"], line["session_metrics"]["total_tokens"]) == (None, 6)


@pytest.mark.parametrize("arguments", [(), ("--auto", "name"), ("name", "-m", "replay:x")])
def test_rename_takes_a_name_or_auto(clew: Clew, model: str, arguments: tuple[str, ...]) -> None:
    clew("run", "-q", "-m", model, "-s", "s", "one")
    assert "--auto" in clew("sessions", "rename", "s", *arguments, code=2).err


def test_rename_auto_needs_a_completed_turn(clew: Clew, model: str) -> None:
    clew("state", "set", "-s", "s", "--create", "a=1")
    err = clew("sessions", "rename", "s", "--auto", "-m", model, code=3).err
    assert "has no completed turn" in err
