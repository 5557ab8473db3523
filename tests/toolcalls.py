"""Recorded runs whose model calls tools, and tools for them to call."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew, eventually

Json = dict[str, Any]


def call(name: str, tool_call_id: str = "c1", /, **arguments: Any) -> Json:
    """A model's wish to call a tool."""
    return raw_call(name, json.dumps(arguments), tool_call_id)


def raw_call(name: str, arguments: str, tool_call_id: str = "c1") -> Json:
    """A model's wish to call a tool, its arguments written as they are here."""
    function = {"name": name, "arguments": arguments}
    return {"id": tool_call_id, "type": "function", "function": function}


def record(path: Path, *turns: list[Json], prompt: str = "go", words: str = "") -> str:
    """Add a recorded run to a file and return its model: it makes the calls of each turn, then
    says `done`."""
    messages: list[Json] = [{"role": "user", "content": prompt}]
    messages += [
        {"role": "assistant", "content": words, "tool_calls": turn} for turn in turns if turn
    ]
    messages.append({"role": "assistant", "content": "done"})
    with path.open("a") as file:
        file.write(json.dumps({"input": prompt, "content": "done", "messages": messages}) + "\n")
    return f"replay:{path}"


def calling(clew: Clew, *turns: list[Json], prompt: str = "go", words: str = "") -> str:
    """A model that makes the calls of each turn, one turn after the other, and says `done`."""
    return record(clew.cwd.parent / "calls.jsonl", *turns, prompt=prompt, words=words)


def command(*argv: str, name: str = "t", **more: Any) -> str:
    """What `--tool` takes for a command."""
    return json.dumps({"name": name, "run": list(argv)} | more)


def script(text: str, name: str = "t", **more: Any) -> str:
    """What `--tool` takes for a shell script."""
    return command("sh", "-c", text, name=name, **more)


def results(line: Json) -> list[str]:
    """What the model was told, call by call, after a look at whether the line agrees with itself:
    each call has its result, right after it, and its record."""
    told: list[str] = []
    waiting: list[str] = []
    for message in line["messages"]:
        if message["role"] == "tool":
            assert waiting.pop(0) == message["tool_call_id"]
            told.append(message["content"])
            continue
        assert waiting == []
        waiting = [each["id"] for each in message.get("tool_calls", [])]
    assert waiting == []
    assert told == [tool["result"] for tool in line["tools"]]
    return told


def strict(body: Json) -> None:
    """Fail as a strict provider would: each call needs its result, right after it and once."""
    waiting: list[str] = []
    ids: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            assert isinstance(message["content"], str)
            waiting.remove(message["tool_call_id"])
            continue
        assert waiting == []
        waiting = [each["id"] for each in message.get("tool_calls", [])]
        ids += waiting
        for each in message.get("tool_calls", []):
            assert each["type"] == "function"
            assert isinstance(each["function"]["arguments"], str)
    assert waiting == []
    assert len(ids) == len(set(ids))


def outcome(clew: Clew, tool: str, **arguments: Any) -> tuple[str, bool]:
    """What a tool called `t` gives when it is called so, and whether that is an error."""
    model = calling(clew, [call("t", **arguments)])
    line = clew("run", "-q", "-m", model, "-t", tool, "--json", "go").json
    [told] = results(line)
    assert line["content"] == "done"
    return told, line["tools"][0]["tool_call_error"]


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status not in "ZX"


def ends(pid: int) -> None:
    """Wait until a process does not run any more."""
    eventually(lambda: not alive(pid))


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
