"""What a team costs beside its members' models: `make bench-clew`.

All is measured in this process, which has litellm loaded already: what is counted is the work of a
team, not the start of a command.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from clew.core import Agent, Team
from clew.core.delegation import DelegateTask
from clew.core.messages import ToolCall
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.tools import RunContext
from clew.core.usage import no_usage
from clew.stores import JsonlStore
from tests.provider import Answer, Json, Provider

MEMBERS = 8
SECONDS = 1.0
ROUNDS = 9
RUNS = 150
WARM = 10


class Scripted:
    """A model that answers at once; as a leader it first gives its member one task."""

    name = "scripted"
    window = None
    price = Price(0.0, 0.0)
    takes_schema = False

    def __init__(self, *, leads: bool = False) -> None:
        self._leads = leads

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Answer, or call the member."""
        if self._leads and request.messages[-1]["role"] == "user":
            return ModelReply("tool_calls", no_usage(), self.name, (self._call(),))
        on_text("done")
        return ModelReply("stop", no_usage(), self.name)

    def _call(self) -> ToolCall:
        arguments = json.dumps({"member_id": "member", "task": "hi"})
        function: Any = {"name": "delegate_task_to_member", "arguments": arguments}
        return {"id": "call_1", "type": "function", "function": function}


def member_and_alone(folder: Path) -> tuple[float, float]:
    """Return the median seconds of an agent's run as a member, and of the same one alone.

    The former is the whole call of the leader's tool. The two take turns, so that a busy moment of
    the machine meets both.
    """
    store = JsonlStore(str(folder))
    agent = Agent(Scripted(), name="member", instructions="Be brief.")
    team = Team(Scripted(leads=True), name="team", members=[agent])
    as_member: list[float] = []
    alone: list[float] = []
    with timed_delegation(as_member):
        for _ in range(WARM + RUNS):
            team.run("hi", session_id="team", store=store).raise_for_status()
            began = time.perf_counter()
            agent.run("hi", session_id="alone", store=store).raise_for_status()
            alone.append(time.perf_counter() - began)
    return median(as_member[WARM:]), median(alone[WARM:])


@contextmanager
def timed_delegation(seconds: list[float]) -> Iterator[None]:
    """Note how long each call of a leader's tool takes."""
    call = DelegateTask.call

    def timed(self: DelegateTask, arguments: dict[str, Any], context: RunContext) -> str:
        began = time.perf_counter()
        try:
            return call(self, arguments, context)
        finally:
            seconds.append(time.perf_counter() - began)

    with patch.object(DelegateTask, "call", timed):
        yield


def answer(body: Json) -> Answer:
    """The members take some seconds each, the leader none."""
    leads = any(message["role"] == "tool" for message in body["messages"])
    return Answer("done", wait=0.0 if leads else SECONDS)


def broadcast(folder: Path) -> tuple[float, float]:
    """Return medians: a broadcast's time in units of its slowest member and the leader's call, and
    the seconds in which all members' requests reached the server."""
    store = JsonlStore(str(folder))
    members = [Agent("openai/test-model", name=f"member{number}") for number in range(MEMBERS)]
    team = Team("openai/test-model", name="team", members=members, mode="broadcast")
    times, spreads = [], []
    for number in range(1 + ROUNDS):
        with Provider() as provider:
            provider.default = answer
            os.environ |= {"OPENAI_API_BASE": provider.url, "OPENAI_API_KEY": "none"}
            session = f"broadcast{number}"
            began = time.perf_counter()
            run = team.run("hi", session_id=session, store=store)
            took = time.perf_counter() - began
            run.raise_for_status()
            arrived = [request.started for request in provider.requests[:MEMBERS]]
        if number:  # the first one loads litellm
            lines = list(store.session(session, "default").lines())
            slowest = max(_asked(line) for line in lines[:-1])
            times.append(took / (slowest + _asked(lines[-1])))
            spreads.append(max(arrived) - min(arrived))
    return median(times), median(spreads)


def _asked(line: Any) -> float:
    """Return how long a run's own requests took."""
    seconds: float = sum(each["duration"] for each in line["metrics"]["details"])
    return seconds


def main() -> None:
    """Measure, and print the second table of docs/performance.md."""
    with tempfile.TemporaryDirectory() as folder:
        member, alone = member_and_alone(Path(folder))
        times, spread = broadcast(Path(folder))
    print("| a team | measured | at most |\n|---|---:|---:|")
    print(f"| a member's run, beside the same agent's alone | {member / alone:.2f} | 1.2 |")
    print(
        f"| a broadcast to {MEMBERS} members, beside the slowest of them and the leader's call | "
        f"{times:.2f} | 1.3 |"
    )
    print(f"| seconds between the first and the last of its requests | {spread:.2f} | 0.3 |")
    print(f"\n(alone {alone * 1000:.1f} ms, as a member {member * 1000:.1f} ms)")


if __name__ == "__main__":
    main()
