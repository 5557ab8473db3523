"""What asking a model through litellm costs."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.provider import Provider

PROGRAM = """
import json, os, sys, threading
from clew.core.litellm_model import LitellmModel
from clew.core.model import ModelRequest
calls = 0
called = set()
def count(frame, event, argument):
    global calls
    calls += event == "call"
    called.add(frame.f_code.co_name)
counts = []
model = LitellmModel("openai/test-model")
for turns in (1, 1, 500):
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}] * turns
    calls = 0
    sys.setprofile(count if counts else None)  # the first imports litellm
    model.ask(ModelRequest([*messages, messages[0]], "hi"), lambda text: None)
    sys.setprofile(None)
    counts.append(calls)
threads = [each.name for each in threading.enumerate()]
import litellm
theirs = litellm.completion("openai/gpt-4o-mini", [{"role": "user", "content": "hi"}])
from openai import OpenAI
from pydantic import BaseModel, Field
class Message(BaseModel):
    role: str
    content: str = Field(alias="text")
client = OpenAI(base_url=os.environ["OPENAI_API_BASE"])
client.chat.completions.create(model="test-model", messages=[Message(role="user", text="hi")])
tokenizer = "litellm.litellm_core_utils.default_encoding" in sys.modules
unasked = [name for name in sys.modules if name.startswith("openai.resources.")]
unasked = [name for name in unasked if not name.startswith("openai.resources.chat")]
told = {"counts": counts[1:], "tokenizer": tokenizer, "unasked": unasked, "threads": threads}
told["reckoned"] = "completion_cost" in called
told["their_cost"] = theirs._hidden_params["response_cost"]
told["their_log"] = any("logging" in each.name for each in threading.enumerate())
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Asked:
    """How many messages the second and the third request had, and how many calls of functions each
    took; the messages that OpenAI's library sent for somebody else in the same process; whether a
    tokenizer was loaded, and what of OpenAI's library besides chat; which threads there were, and
    whether litellm reckoned what it cost, for us; its price and its log for somebody else."""

    sent: list[int]
    others: list[Any]
    counts: list[int]
    tokenizer: bool
    unasked: list[str]
    threads: list[str]
    reckoned: bool
    their_cost: float | None
    their_log: bool


@pytest.fixture(scope="module")
def asked() -> Asked:
    with Provider() as provider:
        env = os.environ | {"OPENAI_API_BASE": provider.url, "OPENAI_API_KEY": "sk-x"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
        )
        *sent, _, others = [request.body["messages"] for request in provider.requests]
    return Asked([len(messages) for messages in sent[1:]], others, **json.loads(done.stdout))


def test_a_long_history_is_sent_without_much_ado_about_each_message(asked: Asked) -> None:
    assert asked.sent == [3, 1001]
    more = asked.counts[1] - asked.counts[0]
    assert more / (asked.sent[1] - asked.sent[0]) < 50  # calls of functions for each message


def test_openais_library_sends_other_peoples_messages_as_ever(asked: Asked) -> None:
    assert asked.others == [{"role": "user", "content": "hi"}]


def test_no_tokenizer_is_loaded_where_the_provider_reports_tokens(asked: Asked) -> None:
    assert not asked.tokenizer


def test_what_openais_library_has_for_other_ends_than_chat_is_not_loaded(asked: Asked) -> None:
    assert asked.unasked == []


def test_litellm_does_nothing_for_loggers_of_our_calls(asked: Asked) -> None:
    assert (asked.threads, asked.reckoned) == (["MainThread"], False)


def test_litellm_tells_other_people_what_a_call_costs_and_logs_it(asked: Asked) -> None:
    assert asked.their_cost is not None and asked.their_cost > 0
    assert asked.their_log
