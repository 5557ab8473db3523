"""Teams of recorded models: what each says, and whom the leader asks."""

import json
from typing import Any

from tests.conftest import Clew
from tests.paused import Json, call, plays

DELEGATE = "delegate_task_to_member"


def asks(*members: str, prefix: str = "d") -> list[Json]:
    """A leader's calls, one for each of these members: `NAME: look`."""
    return [
        call(f"{prefix}{number}", DELEGATE, member_id=member, task=f"{member}: look")
        for number, member in enumerate(members)
    ]


def member(clew: Clew, name: str, *turns: list[Json], answer: str = "", **more: Any) -> Json:
    """A member that makes these calls, turn after turn, when it is told to look, and answers.

    Its last answer costs 7 tokens in and 3 out.
    """
    asked = more.pop("asked", f"{name}: look")
    model = plays(clew, *turns, asked=asked, answer=answer or f"{name} has looked", name=name)
    path = clew.cwd.parent / f"{name}.jsonl"
    used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": used}) + "\n")
    return {"name": name, "model": model} | more


def crew(clew: Clew, *members: Json, name: str = "crew", asked: str = "go", **more: Any) -> Json:
    """A team whose leader has all members look at once, and says `All done.`"""
    turns = [] if more.get("mode") == "broadcast" else [asks(*(each["name"] for each in members))]
    leader = member(clew, name, *turns, asked=asked, answer="All done.")
    return {"kind": "team", "members": list(members)} | leader | more


def written(clew: Clew, definition: Json) -> str:
    """Return the file of a team."""
    path = clew.cwd / f"{definition['name']}.yaml"
    path.write_text(json.dumps(definition))
    return str(path)
