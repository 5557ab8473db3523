"""Embedded models: llama.cpp in the process, on the real weights."""

import pytest

from tests.conftest import Clew

pytestmark = pytest.mark.slow
SAME = ("--option", "temperature=0", "--max-tokens", "40")


def test_a_conversation_needs_no_key_and_no_network(embedded: Clew) -> None:
    asked = embedded("run", *SAME, "Name the capital of France.", code=None)
    again = embedded("continue", "--max-tokens", "40", "And of Italy?", code=None)
    assert {asked.code, again.code} <= {0, 5}
    first, second = embedded("history", "--json").lines
    assert first["content"] and second["content"]
    assert first["resolved_model"] == second["resolved_model"] == "local/smollm2"
    assert second["metrics"]["input_tokens"] > first["metrics"]["input_tokens"] > 0
    assert not first["metrics"]["estimated"]
    assert first["metrics"]["cost"] == 0


def test_the_default_is_named_and_its_engine_says_nothing(embedded: Clew) -> None:
    said = embedded("run", *SAME, "Hello", code=None).err.splitlines()
    assert said[0] == "clew: model local/smollm2 (embedded; -m chooses another)"
    assert all(line.startswith("clew: ") for line in said)
    assert embedded("run", "-q", *SAME, "Say hi", code=None).err in (
        "",
        "clew: the answer was cut off at its longest length (finish_reason length)\n",
    )


def test_a_schema_holds_the_model_to_its_shape(embedded: Clew) -> None:
    person = embedded("run", "-q", "--schema", "name str, age int", "Invent a person.").json
    assert isinstance(person["name"], str)
    assert isinstance(person["age"], int)


def test_any_gguf_file_can_be_named_by_its_path(embedded: Clew) -> None:
    weights = embedded.home / "models" / "smollm2.gguf"
    run = embedded("run", "-m", f"gguf:{weights}", *SAME, "--json", "Hello", code=None).json
    assert run["model"] == f"gguf:{weights}"
    assert run["content"]


def test_weights_that_are_not_there_are_not_found_and_the_hint_fetches_them(clew: Clew) -> None:
    result = clew("run", "hi", code=3)
    assert "no model 'local/smollm2'" in result.err
    assert "clew models install smollm2" in result.err
    assert not clew.home.exists()


def test_a_file_that_is_no_gguf_is_refused_before_anything_is_kept(clew: Clew) -> None:
    (clew.cwd / "letter.txt").write_text("Dear all")
    result = clew("run", "-m", "gguf:letter.txt", "hi", code=3)
    assert "the file is not GGUF" in result.err
    assert not clew.home.exists()


def test_a_broken_gguf_file_fails_the_run_in_one_line(clew: Clew) -> None:
    (clew.cwd / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    result = clew("run", "-q", "-m", "gguf:broken.gguf", "--retries", "0", "hi", code=69)
    assert result.err.startswith("clew: cannot load ")
    assert result.err.count("\n") == 1
