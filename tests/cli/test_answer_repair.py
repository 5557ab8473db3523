"""An answer that does not fit its schema: the model is asked once more, with what was wrong."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.provider import Provider
from tests.toolcalls import call, script

Json = dict[str, Any]
AGE = ("--schema", "age int")
WRONG, RIGHT = '{"age": "seven"}', '{"age": 7}'


def answers(clew: Clew, *texts: str, **more: Any) -> str:
    """A model that is asked `go` and gives these answers, one after the other."""
    said: list[Json] = [{"role": "user", "content": "go"}]
    said += [{"role": "assistant", "content": text} for text in texts]
    return played(clew, said, **more)


def played(clew: Clew, said: list[Json], **more: Any) -> str:
    path = clew.cwd.parent / "answers.jsonl"
    line = {"input": "go", "content": said[-1]["content"], "messages": said} | more
    path.write_text(json.dumps(line) + "\n")
    return f"replay:{path}"


def agent(clew: Clew, **definition: Any) -> str:
    path = clew.cwd / "a.yaml"
    path.write_text(json.dumps({"output_schema": "age int"} | definition))
    return str(path)


def kinds(line: Json) -> list[str]:
    return [each["kind"] for each in line["metrics"]["details"]]


def test_an_answer_that_does_not_fit_is_asked_for_again(clew: Clew) -> None:
    result = clew("run", "-m", answers(clew, WRONG, RIGHT), "-s", "s", *AGE, "go")
    (line,) = clew.stored("s")
    assert (result.out, line["status"], line["content"]) == ('{"age": 7}\n', "COMPLETED", RIGHT)
    assert line["data"] == {"age": 7}


def test_the_model_is_told_where_and_why_it_did_not_fit_and_what_would(clew: Clew) -> None:
    clew("run", "-m", answers(clew, WRONG, RIGHT), "-s", "s", *AGE, "go")
    _asked, wrong, again, right = clew.stored("s")[0]["messages"]
    assert (wrong["content"], right["content"]) == (WRONG, RIGHT)
    assert "$.age: 'seven' is not of type 'integer'" in again["content"]
    assert '"additionalProperties": false' in again["content"]


def test_messages_take_turns_so_that_any_provider_takes_them(clew: Clew) -> None:
    clew("run", "-m", answers(clew, WRONG, RIGHT), "-s", "s", "--system", "Be brief", *AGE, "go")
    roles = [message["role"] for message in clew.stored("s")[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_the_second_request_is_counted_as_a_repair(clew: Clew) -> None:
    usage = {"metrics": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}}
    clew("run", "-m", answers(clew, WRONG, RIGHT, **usage), "-s", "s", *AGE, "go")
    (line,) = clew.stored("s")
    assert (kinds(line), line["metrics"]["requests"]) == (["model", "repair"], 2)
    assert line["session_metrics"]["total_tokens"] == 7
    assert clew("sessions", "verify", "s").code == 0


def test_a_second_misfit_is_exit_4_with_its_text(clew: Clew) -> None:
    model = answers(clew, WRONG, '{"age": null}')
    result = clew("run", "-m", model, "-s", "s", *AGE, "go", code=4)
    (line,) = clew.stored("s")
    assert (line["status"], line["content"], result.out) == ("ERROR", '{"age": null}', "")
    assert line["error"]["message"].endswith("$.age: None is not of type 'integer'")
    assert kinds(line) == ["model", "repair"]


def test_an_answer_that_fits_is_asked_for_once(clew: Clew) -> None:
    clew("run", "-m", answers(clew, RIGHT), "-s", "s", *AGE, "go")
    assert kinds(clew.stored("s")[0]) == ["model"]


@pytest.mark.parametrize("answer", ["Ada is seven.", ""], ids=["words", "nothing"])
def test_an_answer_that_is_no_json_is_asked_for_again(clew: Clew, answer: str) -> None:
    clew("run", "-m", answers(clew, answer, RIGHT), "-s", "s", *AGE, "go")
    (line,) = clew.stored("s")
    assert "the answer is not JSON" in line["messages"][2]["content"]


def test_an_answer_that_was_cut_off_is_not_asked_for_again(clew: Clew) -> None:
    model = answers(clew, '{"age": ', finish_reason="length")
    clew("run", "-m", model, "-s", "s", *AGE, "go", code=4)
    assert kinds(clew.stored("s")[0]) == ["model"]


def test_a_schema_that_cannot_be_applied_is_not_the_models_fault(clew: Clew) -> None:
    schema = ("--schema", '{"$ref": "#"}')
    clew("run", "-m", answers(clew, "1"), "-s", "s", *schema, "go", code=4)
    assert kinds(clew.stored("s")[0]) == ["model"]


@pytest.mark.parametrize("limit", [("--max-turns", "1"), ("--max-total-tokens", "20")])
def test_where_a_limit_leaves_no_room_the_first_answer_stands(
    clew: Clew, limit: tuple[str, str]
) -> None:
    model = answers(clew, WRONG, RIGHT)
    clew("run", "-m", model, "-s", "s", *AGE, *limit, "go", code=4)
    (line,) = clew.stored("s")
    assert (line["content"], kinds(line)) == (WRONG, ["model"])


@pytest.mark.parametrize(("rounds", "code"), [(0, 4), (1, 4), (2, 0)])
def test_a_definition_says_how_often_it_is_asked_for_again(
    clew: Clew, rounds: int, code: int
) -> None:
    model = answers(clew, WRONG, WRONG, RIGHT)
    defined = agent(clew, limits={"repairs": rounds})
    clew("run", "-a", defined, "-m", model, "-s", "s", "go", code=code)
    assert kinds(clew.stored("s")[0]) == ["model", *["repair"] * rounds]


def test_stderr_says_what_was_wrong_unless_it_is_quiet(clew: Clew) -> None:
    words = ("run", "-m", answers(clew, WRONG, RIGHT), *AGE, "go")
    told = "clew: the answer does not fit the schema at $.age: 'seven' is not of type 'integer'"
    assert f"{told}; asking the model to mend it\n" in clew(*words).err
    assert clew(*words, "-q").err == ""


def test_the_stream_tells_the_repair_and_its_content_is_the_answer(clew: Clew) -> None:
    words = ("run", "-m", answers(clew, WRONG, RIGHT), *AGE, "-o", "stream-json", "go")
    events = clew(*words).lines
    names = [event["event"] for event in events]
    assert [e["kind"] for e in events if e["event"] == "ModelRequestStarted"] == ["model", "repair"]
    (told,) = [event["error"] for event in events if event["event"] == "OutputRepairStarted"]
    assert told["kind"] == "schema_mismatch"
    assert "".join(e["content"] for e in events if e["event"] == "RunContent") == RIGHT
    assert [e["content"] for e in events if e["event"] == "RunIntermediateContent"] == [WRONG]
    assert names[-1] == "RunCompleted"


def test_the_events_of_a_repair_fit_the_published_schema(clew: Clew) -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(clew("schema", "event").json)
    words = ("run", "-m", answers(clew, WRONG, RIGHT), *AGE, "-o", "stream-json", "go")
    for event in clew(*words).lines:
        validator.validate(event)


def test_a_repair_may_call_tools_first(clew: Clew) -> None:
    said: list[Json] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": WRONG},
        {"role": "assistant", "content": "", "tool_calls": [call("t")]},
        {"role": "assistant", "content": RIGHT},
    ]
    clew("run", "-m", played(clew, said), "-s", "s", *AGE, "-t", script("echo 7"), "go")
    (line,) = clew.stored("s")
    assert (line["data"], kinds(line)) == ({"age": 7}, ["model", "repair", "model"])
    assert [tool["result"] for tool in line["tools"]] == ["7"]


def test_a_session_with_a_repair_can_be_played_again(clew: Clew) -> None:
    clew("run", "-m", answers(clew, WRONG, RIGHT), "-s", "s", *AGE, "go")
    again = clew("run", "-m", "replay:s", "--json", *AGE, "go").json
    assert (again["data"], kinds(again)) == ({"age": 7}, ["model", "repair"])


def test_a_later_turn_sends_the_repair_along(clew: Clew) -> None:
    clew("run", "-m", answers(clew, WRONG, RIGHT), "-s", "s", *AGE, "go")
    more = clew.recording(("more", "yes"))
    clew("continue", "-s", "s", "-m", more, "more")
    run = clew.stored("s")[-1]["run_id"]
    sent = clew("history", "-s", "s", f"--as-sent={run}", "--json").lines
    roles = [message["role"] for message in sent if message["role"] != "system"]
    assert roles == ["user", "assistant"] * 2 + ["user"]


def test_resuming_a_run_that_never_fitted_asks_for_the_last_answer_again(clew: Clew) -> None:
    model = answers(clew, WRONG, WRONG)
    clew("run", "-m", model, "-s", "s", *AGE, "go", code=4)
    fixed = answers(clew, WRONG, RIGHT)
    clew("continue", "-s", "s", "--resume", "-m", fixed, *AGE)
    line = clew.stored("s")[-1]
    assert (line["data"], kinds(line)) == ({"age": 7}, ["model"])
    assert [message["role"] for message in line["messages"]] == ["user", "assistant"] * 2


def test_a_repair_that_fails_ends_the_run_with_that_failure_and_keeps_the_first_answer(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(WRONG)
    provider.answer(status=500)
    options = ("-m", "openai/test-model", "--retries", "0", "-s", "s")
    clew("run", *options, *AGE, "go", code=69)
    (line,) = clew.stored("s")
    said = [m["content"] for m in line["messages"] if m["role"] == "assistant"]
    assert (said, kinds(line)) == ([WRONG], ["model", "repair"])
    assert line["content"] == WRONG
    assert provider.requests[1].body["messages"][-1]["role"] == "user"


def test_the_stream_of_a_repair_that_fails_ends_with_the_first_answer(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(WRONG)
    provider.answer(status=500)
    options = ("-m", "openai/test-model", "--retries", "0", "-o", "stream-json")
    *told, last = clew("run", *options, *AGE, "go", code=69).lines
    content = [event["content"] for event in told if event["event"] == "RunContent"]
    assert "".join(content) == last["run"]["content"] == WRONG


def test_a_repair_that_is_paused_has_no_answer_yet(clew: Clew) -> None:
    said: list[Json] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": WRONG},
        {"role": "assistant", "content": "", "tool_calls": [call("t")]},
        {"role": "assistant", "content": RIGHT},
    ]
    tool = script("echo 7", requires_confirmation=True)
    line = clew("run", "-m", played(clew, said), "-t", tool, *AGE, "--json", "go", code=6).json
    assert (line["status"], line["content"]) == ("PAUSED", "")


@pytest.mark.slow
def test_a_run_that_is_killed_in_its_repair_comes_back_with_both_answers(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(WRONG)
    provider.answer(fault="hang")
    process = clew.start("run", "-m", "openai/test-model", "-s", "s", *AGE, "go")
    provider.wait_for_requests(2)
    process.kill()
    process.communicate()
    clew("continue", "-s", "s", "-m", clew.recording(("on", "ok")), "on")
    died = clew.stored("s")[0]
    assert (died["status"], kinds(died)) == ("INTERRUPTED", ["model", "repair"])
    assert died["content"] == WRONG
    assert [message["role"] for message in died["messages"]][-3:] == ["user", "assistant", "user"]
