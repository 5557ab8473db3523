"""What asking a model through litellm costs."""

import json
import os
import subprocess
import sys

from tests.provider import Provider

PROGRAM = """
import json, sys
from clew.core.litellm_model import LitellmModel
from clew.core.model import ModelRequest
calls = 0
def count(frame, event, argument):
    global calls
    calls += event == "call"
counts = []
model = LitellmModel("openai/test-model")
for turns in (1, 1, 500):
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}] * turns
    calls = 0
    sys.setprofile(count)
    model.ask(ModelRequest([*messages, messages[0]], "hi"), lambda text: None)
    sys.setprofile(None)
    counts.append(calls)
print(json.dumps(counts[1:]))
"""


def test_a_long_history_is_sent_without_much_ado_about_each_message() -> None:
    with Provider() as provider:
        env = os.environ | {"OPENAI_API_BASE": provider.url, "OPENAI_API_KEY": "sk-x"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
        )
        sent = [len(request.body["messages"]) for request in provider.requests]
    short, long = json.loads(done.stdout)
    assert sent == [3, 3, 1001]
    assert (long - short) / (sent[2] - sent[1]) < 50  # calls of functions for each message
