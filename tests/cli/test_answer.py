"""Answers of all kinds: stopped by a filter, cut, in or out of the shape that was asked for."""

import json
from typing import Any

import pytest

from tests.conftest import Clew

DEEP = "[" * 100_000
COUSINS = {
    "$ref": "#/$defs/outer",
    "$defs": {
        "outer": {
            "$id": "https://example.com/outer",
            "$ref": "#/$defs/inner",
            "$defs": {"inner": {"type": "integer"}},
        }
    },
}


def recorded(clew: Clew, **record: Any) -> str:
    path = clew.cwd / "recorded.jsonl"
    path.write_text(json.dumps({"input": "go"} | record))
    return f"replay:{path}"


def test_an_answer_that_a_filter_stopped_is_exit_1_and_kept(clew: Clew) -> None:
    model = recorded(clew, content="half a", finish_reason="content_filter")
    result = clew("run", "-m", model, "-s", "s", "go", code=1)
    (line,) = clew.stored("s")
    assert (line["status"], line["exit_code"], line["content"]) == ("ERROR", 1, "half a")
    assert "content filter" in result.err
    assert result.out == ""


def test_a_cut_answer_that_fits_its_schema_is_exit_5_and_kept(clew: Clew) -> None:
    model = recorded(clew, content="12", finish_reason="length")
    result = clew("run", "-m", model, "-s", "s", "--schema", '{"type": "integer"}', "go", code=5)
    (line,) = clew.stored("s")
    assert (line["status"], line["exit_code"], line["data"]) == ("COMPLETED", 5, 12)
    assert (result.out, "cut off" in result.err) == ("12\n", True)


def test_a_cut_answer_that_does_not_fit_its_schema_is_exit_4_and_says_that_it_was_cut(
    clew: Clew,
) -> None:
    model = recorded(clew, content="[1, 2", finish_reason="length")
    result = clew("run", "-m", model, "-s", "s", "--schema", '{"type": "array"}', "go", code=4)
    assert clew.stored("s")[0]["content"] == "[1, 2"
    assert "--max-tokens" in result.err


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ("age int", '{"age": "seven"}'),
        ("age int", '{"age": 7, "name": "Ada"}'),
        ("age int", "{}"),
        ("{}", '{"age": NaN}'),
        ("{}", DEEP),
        ('{"$ref": "#"}', "1"),
    ],
    ids=["type", "extra field", "missing field", "not a number", "deep", "endless schema"],
)
def test_data_that_does_not_fit_is_exit_4_and_kept(clew: Clew, schema: str, answer: str) -> None:
    model = recorded(clew, content=answer)
    result = clew("run", "-m", model, "-s", "s", "--schema", schema, "go", code=4)
    (line,) = clew.stored("s")
    assert (line["status"], line["content"], line["data"]) == ("ERROR", answer, None)
    assert result.out == ""


def test_a_reference_below_an_id_is_meant_within_it(clew: Clew) -> None:
    model = recorded(clew, content="7")
    assert clew("run", "-m", model, "--schema", json.dumps(COUSINS), "go").out == "7\n"


def test_data_is_not_streamed_but_printed_on_one_line(clew: Clew) -> None:
    model = recorded(clew, content='{\n "age": 7\n}')
    assert clew("run", "-m", model, "--stream", "--schema", "age int", "go").out == '{"age": 7}\n'


PERSON = "from pydantic import BaseModel\n\n\nclass Person(BaseModel):\n    age: int\n"


def test_a_file_of_the_folder_does_not_stand_in_for_a_library(clew: Clew) -> None:
    (clew.cwd / "shapes.py").write_text(PERSON)
    (clew.cwd / "pydantic.py").write_text("raise SystemExit('planted')\n")
    model = recorded(clew, content='{"age": 7}')
    assert clew("run", "-m", model, "--schema", "shapes:Person", "go").out == '{"age": 7}\n'


def test_nothing_of_the_folder_is_imported_but_what_the_schema_names(clew: Clew) -> None:
    (clew.cwd / "shapes.py").write_text(PERSON)
    for name in ("fqdn", "rfc3339_validator", "webcolors"):  # jsonschema's, where it finds them
        (clew.cwd / f"{name}.py").write_text(f"open({name + '.was'!r}, 'w')\n")
    model = recorded(clew, content='{"age": 7}')
    clew("run", "-m", model, "--schema", "shapes:Person", "go")
    assert list(clew.cwd.glob("*.was")) == []


def test_a_class_whose_schema_is_none_is_exit_2(clew: Clew) -> None:
    code = "class Odd:\n    @staticmethod\n    def model_json_schema():\n        return []\n"
    (clew.cwd / "shapes.py").write_text(code)
    result = clew("run", "-m", recorded(clew, content="7"), "--schema", "shapes:Odd", "go", code=2)
    assert "not a pydantic model" in result.err


def test_a_failed_run_has_no_answer_among_its_messages(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "--json", "unheard of", code=3).json
    assert [message["role"] for message in line["messages"]] == ["user"]
    assert line["metrics"]["requests"] == 0


def test_an_empty_answer_is_a_message_all_the_same(clew: Clew) -> None:
    line = clew("run", "-m", recorded(clew, content=""), "--json", "go").json
    assert [message["role"] for message in line["messages"]] == ["user", "assistant"]


def test_where_it_ran_is_null_where_the_folder_is_gone(clew: Clew, model: str) -> None:
    script = f'mkdir gone; cd gone; rmdir ../gone; clew run -m {model} -s s hi; echo "$?"'
    assert clew.shell(script).out == "hello\n0\n"
    assert clew.stored("s")[0]["cwd"] is None


def test_where_it_ran_is_stored_as_text_whatever_its_bytes(clew: Clew, model: str) -> None:
    clew.shell(f"mkdir $'a\\xff'; cd $'a\\xff'; clew run -m {model} -s s hi")
    assert clew.stored("s")[0]["cwd"].endswith("/a\ufffd")
