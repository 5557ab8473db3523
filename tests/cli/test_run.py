"""`clew run`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema
import pytest

from clew.core.store import Waiting
from clew.stores.jsonl import JsonlStore
from tests.conftest import Clew

FIELDS = (
    "v type seq session_id user_id created_at run_id parent_run_id root_run_id resumes forked_from "
    "kind name status exit_code started_at input files content data finish_reason model "
    "resolved_model messages history tools requirements steps error metrics total_metrics "
    "state_patch metadata options cwd clew_version session_state session_metrics"
)
METRICS = {
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost",
    "requests",
    "duration",
    "estimated",
}


def everything(clew: Clew) -> list[str]:
    return sorted(str(path) for path in clew.home.rglob("*"))


@contextmanager
def holding_the_turn(clew: Clew) -> Iterator[int]:
    """Have the turn of session `s`, as the run `the-other-run` of the process that is given."""
    log = JsonlStore(str(clew.home)).session("s", "default")
    with log.turn("the-other-run", Waiting(0)):
        yield os.getpid()


def test_the_answer_is_all_that_stdout_gets(clew: Clew, model: str) -> None:
    result = clew("run", "-m", model, "hi")
    assert result.out == "hello\n"


def test_words_are_joined_by_blanks(clew: Clew) -> None:
    assert clew("run", "-m", clew.recording(("a b c", "yes")), "a", "b", "c").out == "yes\n"


def test_without_s_a_new_session_begins_and_stderr_names_it(clew: Clew, model: str) -> None:
    first = clew("run", "-m", model, "--json", "hi")
    second = clew("run", "-m", model, "--json", "hi")
    assert first.json["session_id"] != second.json["session_id"]
    assert first.json["session_id"] in first.err


def test_s_creates_the_session_and_then_joins_it(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "trip", "one")
    clew("run", "-m", model, "-s", "trip", "two")
    assert [line["input"] for line in clew.stored("trip")] == ["one", "two"]
    assert [line["seq"] for line in clew.stored("trip")] == [1, 2]


def test_s_with_a_new_name_creates_a_session_of_that_name(clew: Clew, model: str) -> None:
    first = clew("run", "-m", model, "-s", "@My trip", "--json", "one").json
    second = clew("run", "-m", model, "-s", "@My trip", "--json", "two").json
    assert first["session_id"] == second["session_id"]


def test_s_is_never_a_prefix_on_run(clew: Clew, model: str) -> None:
    known = clew("run", "-m", model, "--json", "one").json["session_id"]
    line = clew("run", "-m", model, "-s", known[:8], "--json", "one").json
    assert line["session_id"] == known[:8]


def test_run_ignores_the_session_of_the_environment(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    line = clew("run", "-m", model, "--json", "two", env={"CLEW_SESSION": "s"}).json
    assert line["session_id"] != "s"


def test_no_earlier_message_is_sent_unless_history_is_asked_for(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    alone = clew("run", "-m", model, "-s", "s", "--json", "two").json
    along = clew("run", "-m", model, "-s", "s", "--history", "--json", "three").json
    assert alone["history"] == {"runs": 0, "first_seq": None, "last_seq": None, "left_out": 0}
    assert along["history"] == {"runs": 2, "first_seq": 1, "last_seq": 2, "left_out": 0}


def test_run_inherits_nothing(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--system", "Be brief.", "one")
    line = clew("run", "-s", "s", "--json", "one", env={"CLEW_MODEL": model}).json
    assert [message["role"] for message in line["messages"]] == ["user", "assistant"]


def test_a_name_that_is_taken_is_exit_7_and_nothing_is_stored(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "a", "--name", "trip", "one")
    assert "trip" in clew("run", "-m", model, "-s", "b", "--name", "trip", "one", code=7).err
    assert not clew.session_file("b").exists()


def test_a_refused_call_does_not_name_a_session(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "a", "--run-id", "r", "one")
    clew("run", "-m", model, "-s", "b", "--run-id", "r", "--name", "n", "one", code=7)
    clew("run", "-m", model, "-s", "a", "--run-id", "r", "--name", "n", "two", code=7)
    assert not clew.session_file("b").exists()
    assert len(clew.stored("a")) == 1


def test_users_do_not_share_a_session(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    clew("run", "-m", model, "-s", "s", "-u", "anna", "two")
    assert [line["input"] for line in clew.stored("s")] == ["one"]
    assert [line["input"] for line in clew.stored("s", "anna")] == ["two"]


def test_the_user_of_the_environment_is_used(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "--json", "one", env={"CLEW_USER": "anna"}).json
    assert line["user_id"] == "anna"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run with as much in it as one can ask for."""
    clew = Clew(tmp_path_factory.mktemp("run"))
    (clew.cwd / "notes.txt").write_text("Lyon\n")
    model = clew.recording(("go", '{"city": "Lyon"}'))
    options = ["--schema", "city str", "--state", '{"n": 1}', "--meta", "why=test"]
    options += ["--option", "temperature=0", "--system", "Be brief.", "-f", "notes.txt"]
    line: dict[str, Any] = clew("run", "-m", model, "-s", "s", "--json", *options, "go").json
    assert clew.stored("s") == [line]
    return line


def test_a_run_line_has_every_field_in_the_order_of_the_format(line: dict[str, Any]) -> None:
    assert list(line) == FIELDS.split()


def test_a_run_line_fits_the_published_schema(clew: Clew, line: dict[str, Any]) -> None:
    jsonschema.validate(line, clew("schema", "line").json)


def test_a_run_line_says_what_was_asked(line: dict[str, Any]) -> None:
    assert line["metadata"] == {"why": "test"}
    assert line["state_patch"] == line["session_state"] == {"n": 1}
    assert line["data"] == {"city": "Lyon"}
    assert line["options"]["option"] == {"temperature": 0}
    assert line["options"]["system"] == "Be brief."


def test_a_run_line_records_an_attachment_and_the_model_reads_it(line: dict[str, Any]) -> None:
    (record,) = line["files"]
    assert (record["name"], record["mime"], record["bytes"]) == ("notes.txt", "text/plain", 5)
    assert len(record["sha256"]) == 64
    asked = next(m for m in line["messages"] if m["role"] == "user")
    assert "notes.txt" in asked["content"] and "Lyon" in asked["content"]
    assert line["input"] == "go"


def test_the_metrics_have_every_sum(line: dict[str, Any]) -> None:
    assert set(line["metrics"]) >= METRICS | {"time_to_first_token", "details"}
    assert set(line["total_metrics"]) >= METRICS
    assert set(line["session_metrics"]) >= METRICS
    assert line["metrics"]["requests"] == len(line["metrics"]["details"]) == 1


def test_a_failed_run_has_every_field_too(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "-s", "s", "--json", "unheard of", code=3).json
    assert list(line) == FIELDS.split()
    assert list(line["error"]) == ["kind", "message", "hint", "retryable", "exit_code"]
    jsonschema.validate(line, clew("schema", "line").json)


def test_an_attachment_may_come_from_standard_input(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "-f", "-", "--json", "one", stdin="piped").json
    assert "piped" in line["messages"][0]["content"]


def test_state_is_merged_and_null_removes(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--state", '{"a": 1, "b": 2}', "one")
    line = clew("run", "-m", model, "-s", "s", "--state", '{"a": null, "c": 3}', "--json", "two")
    assert line.json["session_state"] == {"b": 2, "c": 3}


def test_state_may_stand_in_a_file(clew: Clew, model: str) -> None:
    (clew.cwd / "state.json").write_text('{"a": 1}')
    line = clew("run", "-m", model, "--state", "@state.json", "--json", "one").json
    assert line["session_state"] == {"a": 1}


def test_state_replace_puts_an_object_in_place_of_the_state(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--state", '{"a": 1, "b": 2}', "one")
    line = clew("run", "-m", model, "-s", "s", "--state-replace", '{"b": 3}', "--json", "two").json
    assert line["session_state"] == {"b": 3}
    assert line["state_patch"] == {"a": None, "b": 3}


def test_state_is_kept_when_the_run_fails(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "--state", '{"a": 1}', "unheard of", code=3)
    assert clew.stored("s")[0]["session_state"] == {"a": 1}


SCHEMAS = {
    "json": '{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}',
    "file": "@shape.json",
    "class": "shapes:Person",
    "short": "age int",
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_in_any_form_gives_data_on_one_line(clew: Clew, schema: str) -> None:
    (clew.cwd / "shape.json").write_text(SCHEMAS["json"])
    code = "from pydantic import BaseModel\n\n\nclass Person(BaseModel):\n    age: int\n"
    (clew.cwd / "shapes.py").write_text(code)
    model = clew.recording(("go", '{\n  "age": 7\n}'))
    assert clew("run", "-m", model, "--schema", schema, "go").out == '{"age": 7}\n'


def test_an_answer_that_does_not_fit_the_schema_is_exit_4_and_kept(clew: Clew, model: str) -> None:
    result = clew("run", "-m", model, "-s", "s", "--schema", "age int", "hi", code=4)
    line = clew.stored("s")[0]
    assert (line["status"], line["exit_code"], line["content"]) == ("ERROR", 4, "hello")
    assert line["data"] is None
    assert result.out == ""


def test_a_fenced_answer_fits_the_schema(clew: Clew) -> None:
    model = clew.recording(("go", 'Here:\n```json\n{"age": 7}\n```\n'))
    assert clew("run", "-m", model, "--schema", "age int", "go").out == '{"age": 7}\n'


def test_an_answer_cut_by_its_length_is_kept_with_exit_5(clew: Clew) -> None:
    path = clew.cwd / "cut.jsonl"
    path.write_text(json.dumps({"input": "go", "content": "half a", "finish_reason": "length"}))
    result = clew("run", "-m", f"replay:{path}", "-s", "s", "-q", "go", code=5)
    line = clew.stored("s")[0]
    assert (line["status"], line["exit_code"], line["content"]) == ("COMPLETED", 5, "half a")
    assert result.out == "half a\n"
    assert "cut off" in result.err


def test_too_many_tokens_are_exit_5_and_the_model_is_not_asked(clew: Clew, model: str) -> None:
    result = clew("run", "-m", model, "-s", "s", "--max-total-tokens", "1", "hi", code=5)
    line = clew.stored("s")[0]
    assert (line["status"], line["exit_code"], line["error"]["kind"]) == ("ERROR", 5, "limit")
    assert line["metrics"]["requests"] == 0
    assert "--max-total-tokens" in result.err


def test_an_input_that_was_not_recorded_is_no_request(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "--json", "unheard of", code=3).json
    assert (line["status"], line["error"]["kind"]) == ("ERROR", "replay_miss")
    for totals in (line["metrics"], line["total_metrics"], line["session_metrics"]):
        assert (totals["requests"], totals["total_tokens"]) == (0, 0)
    assert line["metrics"]["details"] == []


def test_no_store_leaves_no_file(clew: Clew, model: str) -> None:
    line = clew("run", "-m", model, "-s", "s", "--no-store", "--run-id", "r", "--json", "hi").json
    assert line["seq"] is None
    assert (line["session_id"], line["run_id"]) == ("s", "r")
    assert everything(clew) == []


def test_no_store_leaves_an_existing_session_as_it_is(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    before = everything(clew), clew.stored("s")
    line = clew("continue", "-s", "s", "--no-store", "--name", "n", "--json", "two").json
    assert line["history"]["runs"] == 1
    assert (everything(clew), clew.stored("s")) == before


def test_dry_run_sends_and_writes_nothing(clew: Clew, model: str) -> None:
    result = clew("run", "-m", model, "-s", "s", "--dry-run", "--run-id", "r", "unheard of")
    assert result.json["messages"] == [{"role": "user", "content": "unheard of"}]
    assert everything(clew) == []


def test_dry_run_has_no_answer_for_a_file(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "--dry-run", "-O", "answer.txt", "hi", code=2)
    assert not (clew.cwd / "answer.txt").exists()


def test_dry_run_shows_the_history_that_would_be_sent(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    shown = clew("continue", "-s", "s", "--dry-run", "--json", "two").json
    texts = [message["content"] for message in shown["messages"]]
    assert texts == ["one", "answer one", "two"]


def test_quiet_says_nothing_on_success(clew: Clew, model: str) -> None:
    assert clew("run", "-q", "-m", model, "hi").err == ""


def test_quiet_still_says_why_a_run_failed(clew: Clew, model: str) -> None:
    assert "unheard of" in clew("run", "-q", "-m", model, "unheard of", code=3).err


def test_usage_tells_tokens_and_cost_in_one_line(clew: Clew, model: str) -> None:
    result = clew("run", "-q", "--usage", "-m", model, "hi")
    assert "tokens in" in result.err and "$" in result.err
    assert result.err.count("\n") == 1


def test_the_model_of_the_environment_is_used_and_the_flag_wins(clew: Clew, model: str) -> None:
    other = clew.recording(("hi", "other"), name="other.jsonl")
    assert clew("run", "hi", env={"CLEW_MODEL": model}).out == "hello\n"
    assert clew("run", "-m", other, "hi", env={"CLEW_MODEL": model}).out == "other\n"


def test_a_model_that_was_asked_for_never_falls_back(clew: Clew) -> None:
    result = clew("run", "-m", "replay:nowhere", "hi", code=3)
    assert "nowhere" in result.err
    assert not clew.home.exists()


def test_a_key_given_as_a_model_option_is_refused_and_not_repeated(clew: Clew, model: str) -> None:
    secret = "sk-CANARY-0123456789"
    result = clew("run", "-m", model, "--option", f"api_key={secret}", "hi", code=2)
    assert secret not in result.out + result.err
    assert not clew.home.exists()


@pytest.mark.parametrize(
    "option",
    [
        'fallbacks=["x/y"]',
        "custom_llm_provider=x",
        "mock_response=hi",
        "n=2",
        "num_retries=9",
        "stream=false",
    ],
)
def test_an_option_that_would_have_another_model_or_request_answer_is_refused(
    clew: Clew, model: str, option: str
) -> None:
    result = clew("run", "-m", model, "--option", option, "-s", "s", "hi", code=2)
    assert result.err.startswith(f"clew: --option {option.partition('=')[0]}: not a model option")
    assert not clew.home.exists()


def test_a_run_without_history_runs_beside_a_turn_in_progress(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    with holding_the_turn(clew):
        clew("run", "-m", model, "-s", "s", "--no-wait", "two")
    assert [line["input"] for line in clew.stored("s")] == ["one", "two"]


def test_a_busy_session_is_exit_75_and_says_who_has_it(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    with holding_the_turn(clew) as pid:
        result = clew("continue", "-s", "s", "--no-wait", "--json", "two", code=75)
        also = clew("run", "-m", model, "-s", "s", "--history", "--no-wait", "two", code=75)
    assert str(pid) in result.err and "the-other-run" in result.err
    assert result.json["error"]["kind"] == "busy" and result.json["run_id"] is None
    assert str(pid) in also.err
    assert len(clew.stored("s")) == 1


def test_wait_says_after_a_second_who_has_the_session_and_gives_up(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    with holding_the_turn(clew):
        result = clew("continue", "-s", "s", "--wait", "1.2", "two", code=75)
    assert "waiting: " in result.err and "is busy" in result.err


@pytest.mark.parametrize("option", ["--wait", "--timeout"])
@pytest.mark.parametrize("duration", ["90", "90s", "10m", "2h", "7d"])
def test_a_duration_is_seconds_or_has_a_unit(
    clew: Clew, model: str, option: str, duration: str
) -> None:
    assert clew("run", "-q", "-m", model, option, duration, "hi").out == "hello\n"


def test_a_waiting_continue_goes_on_when_the_turn_is_free(clew: Clew, model: str) -> None:
    clew("run", "-m", model, "-s", "s", "one")
    with holding_the_turn(clew):
        waiting = clew.start("continue", "-s", "s", "two")
        assert waiting.stderr is not None
        assert b"waiting: " in waiting.stderr.readline()
        assert len(clew.stored("s")) == 1
    assert waiting.communicate(timeout=200)[0] == b"answer two\n"
    assert clew.stored("s")[1]["history"]["runs"] == 1
