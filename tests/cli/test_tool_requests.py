"""Tools over HTTP: what a provider is sent, and what it may send."""

import json
from typing import Any

import pytest

from tests.conftest import Clew
from tests.provider import Answer, Provider
from tests.toolcalls import call, command, raw_call, results, script, strict

pytestmark = pytest.mark.slow
Json = dict[str, Any]
TOOLS = ("-t", command("cat", description="Say it again."), "-t", command("false", name="no"))


def ask(clew: Clew, *options: str, code: int = 0) -> Any:
    run = ("run", "-q", "-m", "openai/test-model", "-s", "s", *TOOLS, *options, "--json", "go")
    return clew(*run, code=code).json


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_a_provider_is_sent_the_tools_and_each_calls_result(
    clew: Clew, provider: Provider, stream: str
) -> None:
    provider.answer("Let me see.", tool_calls=[call("t", "c1", n=1), call("no", "c2")])
    provider.answer(tool_calls=[raw_call("t", "{", "c3"), call("gone", "c4")])
    provider.answer("It is so.")
    line = ask(clew, stream)
    first, second, third = (request.body for request in provider.requests)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["t", "no"]
    assert first["tools"][0] == {
        "type": "function",
        "function": {
            "name": "t",
            "description": "Say it again.",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    assert bool(first.get("stream")) is (stream == "--stream")
    assert first["tools"] == second["tools"] == third["tools"]
    for body in (first, second, third):
        strict(body)
        assert not [key for key in body if key.startswith("_")]
    assert second["messages"] == third["messages"][:4]
    assert second["messages"][1]["content"] == "Let me see."
    assert results(line)[:2] == ['{"n": 1}', "it failed with exit code 1"]
    assert (line["content"], line["metrics"]["requests"]) == ("It is so.", 3)


def test_a_call_that_comes_in_pieces_is_put_together(clew: Clew, provider: Provider) -> None:
    pieces: list[Json] = [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "t", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"text": "a'}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "t", "arguments": "{"}},
        {"index": 0, "function": {"arguments": ' b"}'}},
        {"index": 1, "function": {"arguments": '"n": 2}'}},
    ]
    provider.answer(tool_calls=pieces, finish_reason="tool_calls")
    line = ask(clew, "--stream")
    assert results(line) == ['{"text": "a b"}', '{"n": 2}']
    strict(provider.requests[-1].body)


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("given", ["", "same"], ids=["missing", "doubled"])
def test_ids_that_are_missing_or_doubled_are_replaced(
    clew: Clew, provider: Provider, stream: str, given: str
) -> None:
    provider.answer(tool_calls=[call("t", given, n=1), call("t", given, n=2)])
    provider.answer(tool_calls=[call("t", given, n=3)])
    line = ask(clew, stream)
    assert results(line) == ['{"n": 1}', '{"n": 2}', '{"n": 3}']
    for request in provider.requests:
        strict(request.body)


def test_history_with_tools_is_a_valid_request(clew: Clew, provider: Provider) -> None:
    def answer(body: Json) -> Answer:
        asked = body["messages"][-1]["role"] == "user"
        return Answer(tool_calls=[call("t", "c1", n=1)]) if asked else Answer("fine")

    provider.default = answer
    ask(clew)
    line = clew("continue", "-q", "-s", "s", "--json", "again").json
    assert line["content"] == "fine"
    for request in provider.requests:
        strict(request.body)
    assert [m["role"] for m in provider.requests[-1].body["messages"]] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant", "tool"),
    ]


def test_a_run_that_failed_after_its_tools_goes_on_with_a_valid_request(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(tool_calls=[call("t", "c1", n=1), call("no", "c2")])
    provider.answer(status=400)
    failed = ask(clew, code=1)
    assert len(results(failed)) == 2
    provider.answer("in the end")
    line = clew("continue", "-q", "-s", "s", *TOOLS, "--resume", "--json").json
    assert line["content"] == "in the end"
    strict(provider.requests[-1].body)
    assert [m["role"] for m in provider.requests[-1].body["messages"]] == [
        *("user", "assistant", "tool", "tool")
    ]


def test_a_stream_that_breaks_in_a_call_calls_nothing(clew: Clew, provider: Provider) -> None:
    provider.default = Answer("Let me see.", tool_calls=[call("t", "c1", n=1)], fault="eof_mid")
    run = ("run", "-q", "-m", "openai/test-model", "-s", "s", "-t", script("touch called"))
    done = clew(*run, "--retries", "0", "--json", "go", code=69).json
    assert results(done) == []
    assert not (clew.cwd / "called").exists()


def test_a_provider_key_is_nowhere_a_tool_can_see_it(clew: Clew, provider: Provider) -> None:
    provider.answer(tool_calls=[call("env", "c1")])
    run = ("run", "-v", "-m", "openai/test-model", "-s", "s", "-t", command("env", name="env"))
    done = clew(*run, "--json", "go")
    assert "PATH=" in results(done.json)[0]
    assert "CANARY" not in done.out + done.err + clew.session_file("s").read_text()
    assert "CANARY" not in json.dumps([request.body for request in provider.requests])


def test_a_tool_gets_the_environment_as_clew_was_given_it(clew: Clew, provider: Provider) -> None:
    given = {k: v for k, v in clew.env.items() if k.startswith("LITELLM_")}
    clew.env |= (given := given | {"LITELLM_MODE": "DEV"})
    provider.answer(tool_calls=[call("env", "c1")])
    run = ("run", "-q", "-m", "openai/test-model", "-t", command("env", name="env"), "--json", "go")
    [told] = results(clew(*run).json)
    has = dict(line.split("=", 1) for line in told.splitlines() if line.startswith("LITELLM_"))
    assert has == given


def test_a_tool_does_not_get_what_litellm_sets_for_its_tokenizer(
    clew: Clew, provider: Provider
) -> None:
    clew.env["HOSTED_VLLM_API_BASE"] = provider.url
    provider.answer(tool_calls=[call("env", "c1")])
    run = ("run", "-q", "-m", "hosted_vllm/test-model", "-t", command("env", name="env"))
    [told] = results(clew(*run, "--json", "go").json)
    assert "HOSTED_VLLM_API_BASE=" in told
    assert "TIKTOKEN_CACHE_DIR=" not in told


def test_tokens_of_every_request_of_a_run_are_counted_once(clew: Clew, provider: Provider) -> None:
    used = [
        {"prompt_tokens": 10 * n, "completion_tokens": n, "total_tokens": 11 * n} for n in (1, 2)
    ]
    provider.answer(tool_calls=[call("t", "c1", n=1)], usage=used[0])
    provider.answer("done", usage=used[1])
    metrics = ask(clew)["metrics"]
    assert (metrics["input_tokens"], metrics["output_tokens"], metrics["requests"]) == (30, 3, 2)
    assert [each["total_tokens"] for each in metrics["details"]] == [11, 22]
