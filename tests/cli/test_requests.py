"""What goes to a provider, where it goes, and when it stops."""

import json
import subprocess
import sys

import pytest

from tests.conftest import Clew
from tests.provider import Provider

CANARY = "sk-CANARY-0123456789"
LONG = " ".join(f"word{number}" for number in range(2000))
LISTENER = """
from clew.core import Agent

class Mine(Exception):
    pass

def listener(event):
    if event["event"] == EVENT:
        raise Mine(event["event"])

try:
    Agent(model="openai/test-model").run("go", on_event=listener)
except Mine as error:
    print("mine", error)
"""


@pytest.mark.slow
def test_the_longest_answer_is_asked_for_in_the_request(clew: Clew, provider: Provider) -> None:
    clew("run", "-q", "-m", "openai/test-model", "--max-tokens", "7", "--no-store", "go")
    body = provider.requests[0].body
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 7


@pytest.mark.slow
def test_no_longest_answer_is_asked_for_unasked(clew: Clew, provider: Provider) -> None:
    clew("run", "-q", "-m", "openai/test-model", "--no-store", "go")
    assert not {"max_tokens", "max_completion_tokens"} & set(provider.requests[0].body)


@pytest.mark.slow
def test_a_cost_limit_stops_an_answer_under_way_and_keeps_what_came(
    clew: Clew, provider: Provider
) -> None:
    provider.answer(LONG)
    call = ["run", "-m", "openai/gpt-4o-mini", "-s", "s", "--max-cost", "0.0002"]
    result = clew(*call, "go", code=5)
    (line,) = clew.stored("s")
    assert (line["status"], line["exit_code"], line["error"]["kind"]) == ("ERROR", 5, "limit")
    assert "the limit of $0.0002 was reached" in result.err
    assert 0 < len(line["content"]) < len(LONG) and LONG.startswith(line["content"])
    assert 0 < line["metrics"]["cost"] < 0.0003
    assert line["metrics"]["estimated"] is True


@pytest.mark.slow
def test_a_cost_limit_that_the_question_reaches_sends_nothing(
    clew: Clew, provider: Provider
) -> None:
    call = ["run", "-m", "openai/gpt-4o-mini", "-s", "s", "--max-cost", "0.0000001"]
    clew(*call, LONG, code=5)
    assert provider.requests == []
    assert clew.stored("s")[0]["metrics"]["requests"] == 0


@pytest.mark.slow
def test_a_key_does_not_follow_a_redirect_to_another_server(clew: Clew, provider: Provider) -> None:
    with Provider() as other:
        there = other.url.replace("127.0.0.1", "localhost") + "/chat/completions"
        for location in (there, f"{other.url}/chat/completions"):
            provider.answer(fault="redirect", headers={"location": location})
            clew("run", "-v", "-m", "openai/test-model", "--retries=0", "go", code=None)
        assert len(provider.requests) == 2
        assert CANARY in provider.requests[0].headers["authorization"]
        assert len(other.requests) == 2
        for request in other.requests:
            assert CANARY not in json.dumps([request.headers, request.body, request.path])


@pytest.mark.slow
@pytest.mark.parametrize("event", ["RunContent", "ModelRequestStarted", "ModelRequestCompleted"])
def test_what_a_listener_raises_is_raised_and_no_fault_of_the_provider(
    clew: Clew, provider: Provider, event: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LISTENER.replace("EVENT", repr(event))],
        env=clew.env,
        cwd=clew.cwd,
        capture_output=True,
        timeout=200,
        check=False,
        text=True,
    )
    assert (done.stdout, done.stderr) == (f"mine {event}\n", "")
    assert len(provider.requests) == (event != "ModelRequestStarted")


def test_the_newline_that_a_key_brings_from_its_file_is_no_part_of_it(
    clew: Clew, provider: Provider
) -> None:
    clew.env["OPENAI_API_KEY"] += "\n"
    provider.answer("hello")
    clew("run", "-m", "openai/test-model", "hi")
    assert provider.requests[0].headers["authorization"] == "Bearer sk-CANARY-0123456789"
