"""Teams for the tests: of recordings, or of models that a provider on loopback plays."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Clew
from tests.paused import call, plays
from tests.provider import Answer, Provider

Json = dict[str, Any]
DELEGATE = "delegate_task_to_member"


def delegate(call_id: str, member: str, task: str | None = None) -> Json:
    """A leader's wish to have a member do a task, `do NAME` unless said otherwise."""
    return call(call_id, DELEGATE, member_id=member, task=task or f"do {member}")


def member(
    clew: Clew,
    name: str,
    *turns: list[Json],
    asked: str | None = None,
    answer: str | None = None,
    **keys: Any,
) -> Json:
    """Define a member: asked to `do NAME` it makes the calls of each turn, and is done."""
    said = f"{name} is done" if answer is None else answer
    model = plays(clew, *turns, asked=asked or f"do {name}", answer=said, name=f"member-{name}")
    return {"name": name, "model": model, **keys}


def defined(clew: Clew, file: str, /, **keys: Any) -> Path:
    """Write a definition and return its file."""
    path = clew.cwd / f"{file}.yaml"
    path.write_text(json.dumps(keys, indent=1))
    return path


def inline(
    clew: Clew,
    *members: Json | str,
    turns: list[list[Json]] | None = None,
    asked: str = "go",
    answer: str = "All done.",
    name: str = "team",
    **keys: Any,
) -> Json:
    """Define a team: its leader makes these calls, else one to each member, and says `answer`."""
    if turns is None:
        names = [str(one["name"] if isinstance(one, dict) else one) for one in members]
        turns = [[delegate(f"d-{each}", each) for each in names]]
        if keys.get("mode") == "broadcast":
            turns = []
    model = plays(clew, *turns, asked=asked, answer=answer, name=f"leader-{name}")
    return {"kind": "team", "name": name, "model": model, "members": list(members), **keys}


def team(clew: Clew, *members: Json | str, name: str = "team", **keys: Any) -> str:
    """Write what `inline` defines into a file, and return its path."""
    return str(defined(clew, name, **inline(clew, *members, name=name, **keys)))


def runs(clew: Clew, session: str = "s") -> list[Json]:
    """The runs of a session, in the order in which they stand there."""
    return [line for line in clew.stored(session) if line["type"] == "run"]


def run_of(clew: Clew, name: str, session: str = "s") -> Json:
    """The last run of this name."""
    return [line for line in runs(clew, session) if line["name"] == name][-1]


def told(line: Json) -> list[str]:
    """What the leader was told of each call, in the order of the calls."""
    return [message["content"] for message in line["messages"] if message["role"] == "tool"]


def names(clew: Clew, session: str = "s") -> list[tuple[str, str]]:
    """Whose the runs of a session are, and how they ended."""
    return [(line["name"], line["status"]) for line in runs(clew, session)]


class Cast:
    """Plays the models of a team, by their names; none takes messages that a provider refuses.

    Each says what it was given to say, in turn, and then `NAME is done`.
    """

    def __init__(self, provider: Provider) -> None:
        self._scripts: dict[str, list[Answer]] = {}
        self._always: dict[str, Callable[[Json], Answer]] = {}
        self._provider = provider
        provider.default = self._answer

    def says(self, name: str, *answers: Answer | str | list[Json]) -> None:
        """Have a model say this, or make these calls."""
        script = self._scripts.setdefault(name, [])
        script += map(_answer, answers)

    def answers(self, name: str, how: Callable[[Json], Answer]) -> None:
        """Have a model answer each request so."""
        self._always[name] = how

    def sent(self, name: str) -> list[list[Json]]:
        """The messages that went to a model, request by request."""
        bodies = (request.body for request in self._provider.requests)
        return [body["messages"] for body in bodies if body["model"] == name]

    def _answer(self, body: Json) -> Answer:
        name, wrong = body["model"], refused(body)
        if wrong:
            return Answer(f"invalid messages: {wrong}", status=400)
        if name in self._always:
            return self._always[name](body)
        script = self._scripts.get(name)
        return script.pop(0) if script else Answer(f"{name} is done")


def _answer(said: Answer | str | list[Json]) -> Answer:
    if isinstance(said, str):
        return Answer(said)
    if isinstance(said, list):
        return Answer(tool_calls=said, finish_reason="tool_calls")
    return said


def refused(body: Json) -> str | None:
    """Say why a provider refuses these messages; None if it takes them."""
    waiting: list[str] = []
    known: list[str] = []
    for number, message in enumerate(body["messages"]):
        why = ""
        calls = [each["id"] for each in message.get("tool_calls") or []]
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return f"message {number} is the result of no call"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            why = f"comes before the results of {waiting}"
        elif message["role"] == "system" and number:
            why = "is not the first"
        elif len({*known, *calls}) < len(known) + len(calls):
            why = "has a call whose id another has"
        elif not calls and not message.get("content"):
            why = "is empty"
        if why:
            return f"message {number} ({message['role']}) {why}"
        known, waiting = known + calls, calls
    if waiting:
        return f"there are no results of {waiting}"
    return "there are calls, and no tools" if known and not body.get("tools") else None
