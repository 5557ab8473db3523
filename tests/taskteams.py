"""Teams that work through a list of tasks: recorded leaders, and members that say what is known."""

import json
from typing import Any

from tests.conftest import Clew
from tests.paused import call

Json = dict[str, Any]


def create(title: str, member: str = "a", *after: str, **more: Any) -> Json:
    """A leader's wish to have a task on the list."""
    depends_on = {"depends_on": list(after)} if after else {}
    return call("", "create_task", title=title, member_id=member, **depends_on, **more)


def execute(task: str, **more: Any) -> Json:
    """A leader's wish to have a task done."""
    return call("", "execute_task", task_id=task, **more)


def update(task: str, status: str, **more: Any) -> Json:
    """A leader's wish to settle a task."""
    return call("", "update_task_status", task_id=task, status=status, **more)


def says(clew: Clew, name: str, *turns: list[Json] | str, asked: str = "go") -> str:
    """Return a model that makes these calls, or says these words, turn after turn."""
    said: list[Json] = [{"role": "user", "content": asked}]
    for turn in turns:
        calls = {} if isinstance(turn, str) else {"tool_calls": _with_ids(turn, len(said))}
        said.append(
            {"role": "assistant", "content": turn if isinstance(turn, str) else "", **calls}
        )
    path = clew.cwd.parent / f"{name}.jsonl"
    with path.open("a") as file:
        line = {"input": asked, "content": said[-1]["content"], "messages": said}
        file.write(json.dumps(line) + "\n")
    return f"replay:{path}"


def _with_ids(calls: list[Json], turn: int) -> list[Json]:
    return [{**each, "id": each["id"] or f"c{turn}.{n}"} for n, each in enumerate(calls)]


def team(clew: Clew, leader: str, **keys: Any) -> str:
    """Return a file that defines a team with the members a and b, who answer all that is asked."""
    members = [
        {"name": name, "model": clew.recording(*_answers(name), name=f"{name}.jsonl")}
        for name in "ab"
    ]
    defined = {"kind": "team", "mode": "tasks", "model": leader, "members": members} | keys
    path = clew.cwd / "team.yaml"
    path.write_text(json.dumps(defined))
    return str(path)


def _answers(name: str) -> list[tuple[str, str]]:
    return [(task, f"{name} did {task}") for task in ("one", "two", "three")]


def told(line: Json, name: str = "") -> list[str]:
    """What the leader was told of its calls, or of those of one tool."""
    return [one["result"] for one in line["tools"] if name in one["tool_name"]]


def worked(lines: list[Json]) -> list[str]:
    """What members were asked in runs of their own, in the order in which these ended."""
    return [line["input"] for line in lines if line["parent_run_id"] is not None]
