"""Runs that wait for somebody: models that call tools, and tools that leave a trace."""

import json
from typing import Any

from tests.conftest import Clew

Json = dict[str, Any]
TO: Json = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
TRACE = 'printf "%s\\n" "$(cat)" >> sent; echo sent'


def call(call_id: str, name: str = "send", **arguments: Any) -> Json:
    """A tool call as a model makes it."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}


def plays(
    clew: Clew, *turns: list[Json], asked: str = "go", answer: str = "Done.", name: str = "calls"
) -> str:
    """Return a model that makes these calls, turn after turn, and then answers."""
    calls = [{"role": "assistant", "content": "", "tool_calls": turn} for turn in turns]
    said = [{"role": "user", "content": asked}, *calls, {"role": "assistant", "content": answer}]
    path = clew.cwd.parent / f"{name}.jsonl"
    path.write_text(json.dumps({"input": asked, "content": answer, "messages": said}) + "\n")
    return f"replay:{path}"


def tool(clew: Clew, name: str = "send", script: str = TRACE, **definition: Any) -> str:
    """Return a file that defines a tool; a call writes its arguments into the file `sent`."""
    path = clew.cwd / f"{name}.json"
    defined: Json = {"name": name, "parameters": TO}
    if not definition.get("external"):
        defined["run"] = ["sh", "-c", script]
    path.write_text(json.dumps(defined | definition))
    return str(path)


def sent(clew: Clew) -> list[Json]:
    """The arguments of the calls that were made, in their order."""
    path = clew.cwd / "sent"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
