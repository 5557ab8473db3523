"""An agent whose sessions are summarized, and a model that writes down what it is asked."""

import json
from typing import Any

from tests.conftest import Clew

ASKS_FOR_SUMMARY = "Provide the summary of the conversation."
ASKS_FOR_NAME = "Name this conversation in at most five words."
MODULE = """
import json
import os
import time

from clew.core import Agent, ClewError
from clew.core.model import ModelReply, Price
from clew.core.usage import no_usage


class Scripted:
    price = Price(0.0, 0.0)
    takes_schema = False

    def __init__(self, name="scripted", window=None):
        self.name = name
        self.window = window

    def ask(self, request, on_text):
        asked = {"model": self.name, "input": request.input, "messages": request.messages}
        asked |= {"max_tokens": request.max_tokens, "options": request.options}
        with open("asked.jsonl", "a") as file:
            file.write(json.dumps(asked) + "\\n")
        text = self.text(request, on_text)
        on_text(text)
        used = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        return ModelReply("stop", no_usage() | used, self.name)

    def text(self, request, on_text):
        if request.input == "Name this conversation in at most five words.":
            return os.environ.get("NAME", "Counting")
        if request.input != "Provide the summary of the conversation.":
            return "answer " + request.input.split()[0]
        if "GATE" in os.environ:
            on_text("Half of ")
            open(os.environ["GATE"] + ".reached", "w").close()
            for _ in range(6000):
                if os.path.exists(os.environ["GATE"]):
                    break
                time.sleep(0.02)
        if "FAILS" in os.environ:
            raise ClewError(os.environ["FAILS"])
        return os.environ.get("SUMMARY", "They count.")


agent = Agent(
    model=Scripted(window=WINDOW), name="counter", **WHAT
)
plain = Agent(model=Scripted(), name="plain")
"""
SUMMARIZED = ("run", "-q", "-a", "own:agent", "-s", "s", "--history")


def summarizing(clew: Clew, window: int | None = None, **what: Any) -> None:
    """Have `own:agent`, whose sessions are summarized, from `summary_tokens` (1) on."""
    what = {"enable_session_summaries": True, "summary_tokens": 1} | what
    text = MODULE.replace("WINDOW", repr(window)).replace("WHAT", repr(what))
    (clew.cwd / "own.py").write_text(text)


def asked(clew: Clew, question: str | None = None) -> list[Any]:
    """The requests that the model got; only those with this input."""
    path = clew.cwd / "asked.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [one for one in found if question in (None, one["input"])]


def summaries(clew: Clew, session: str = "s") -> list[Any]:
    """The lines of a session that tell of a summary, or that none came of it."""
    lines = [line for line in clew.stored(session) if "job_id" in line]
    kinds = [{call["kind"] for call in line["metrics"]["details"]} for line in lines]
    return [line for line, kind in zip(lines, kinds, strict=True) if kind != {"naming"}]
