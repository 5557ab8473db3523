"""`clew tools`: which tools an agent has, and what one does that is called by hand."""

import json
import os
import pty
import select
from pathlib import Path

import pytest

from tests.conftest import Clew

TOOLS = '''
import sys

def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    print("adding")
    return a + b

def fail():
    raise ValueError("no")

def who(run_context):
    return [run_context.user_id, run_context.session_state]
'''
ECHO = json.dumps({"name": "echo", "run": ["cat"], "requires_confirmation": True})
ASKING = json.dumps(
    {
        "name": "book",
        "run": ["cat"],
        "requires_user_input": ["seat"],
        "parameters": {
            "type": "object",
            "properties": {"seat": {"type": "integer"}},
            "required": ["seat"],
        },
    }
)


@pytest.fixture(autouse=True)
def tools(clew: Clew) -> Path:
    """A module of tools in the folder, and an agent that has one of them."""
    (clew.cwd / "mine.py").write_text(TOOLS)
    path = clew.cwd / "agent.yaml"
    path.write_text("tools: ['mine:add']\nenable_agentic_state: true")
    return path


def test_an_agent_s_tools_and_further_ones_are_listed(clew: Clew) -> None:
    out = clew("tools", "list", "-a", "agent.yaml", "-t", "mine:fail").out
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["add", "update_session_state", "fail"]
    assert "Add two numbers." in out.splitlines()[0]


def test_listed_tools_have_the_schema_of_their_arguments(clew: Clew) -> None:
    tool = clew("tools", "list", "-t", "mine:add", "--json").json
    assert tool["name"] == "add"
    assert tool["parameters"]["required"] == ["a"]
    assert clew("tools", "show", "add", "-t", "mine:add").json == tool


def test_a_tool_is_shown_with_what_it_runs_and_needs(clew: Clew) -> None:
    shown = clew("tools", "show", "echo", "-t", ECHO).json
    assert (shown["command"], shown["requires_confirmation"]) == ("cat", True)


@pytest.mark.parametrize("command", [("list",), ("show", "add"), ("call", "add")])
def test_it_has_to_be_said_whose_tools(clew: Clew, command: tuple[str, ...]) -> None:
    assert "whose tools?" in clew("tools", *command, code=2).err


def test_an_unknown_tool_is_not_found(clew: Clew) -> None:
    err = clew("tools", "call", "ad", "-a", "agent.yaml", code=3).err
    assert "the tools are: add, update_session_state" in err


def test_arguments_are_read_as_the_schema_says(clew: Clew) -> None:
    assert clew("tools", "call", "add", "-t", "mine:add", "a=2", "b=3").out == "5\n"


def test_arguments_are_read_from_standard_input(clew: Clew) -> None:
    call = ("tools", "call", "add", "-a", "agent.yaml")
    assert clew(*call, "-", stdin='{"a": 2, "b": 3}').out == "5\n"
    clew(*call, "-", "a=1", stdin="{}", code=2)
    clew(*call, "-", stdin="[1]", code=2)


def test_what_a_tool_prints_is_no_part_of_its_result(clew: Clew) -> None:
    result = clew("tools", "call", "add", "-t", "mine:add", "a=2")
    assert (result.out, "adding" in result.err) == ("3\n", True)


@pytest.mark.parametrize("arguments", [(), ("a=x",), ("a=1", "c=2"), ("a",), ("=1",)])
def test_arguments_that_do_not_fit_are_refused(clew: Clew, arguments: tuple[str, ...]) -> None:
    assert clew("tools", "call", "add", "-t", "mine:add", *arguments, code=2).out == ""


def test_a_tool_that_fails_ends_in_1_and_says_why(clew: Clew) -> None:
    assert (
        "the tool failed: ValueError: no"
        in clew("tools", "call", "fail", "-t", "mine:fail", code=1).err
    )
    false = json.dumps({"run": ["false"]})
    assert "exit code 1" in clew("tools", "call", "false", "-t", false, code=1).err


def test_a_call_by_hand_has_no_session_and_keeps_nothing(clew: Clew) -> None:
    result = clew("tools", "call", "who", "-t", "mine:who", env={"CLEW_USER": "ada"})
    assert result.json == ["ada", {}]
    assert not clew.home.exists()


def test_a_tool_that_needs_a_yes_does_not_run_without(clew: Clew) -> None:
    call = ("tools", "call", "echo", "-t", ECHO, "a=1")
    refused = clew(*call, code=2)
    assert (refused.out, "'echo' needs a yes" in refused.err) == ("", True)
    assert clew(*call, "--approve", "deny", code=1).out == ""
    assert clew(*call, "-y").json == {"a": "1"}


@pytest.mark.parametrize(
    ("answer", "code", "result"), [(b"y\n", 0, b'{"a": "1"}\n'), (b"n\n", 1, b""), (b"\n", 1, b"")]
)
def test_on_a_terminal_the_person_is_asked(
    clew: Clew, answer: bytes, code: int, result: bytes
) -> None:
    ours, theirs = pty.openpty()
    process = clew.start("tools", "call", "echo", "-t", ECHO, "a=1", stdin=theirs, stderr=theirs)
    os.write(ours, answer)
    out, _ = process.communicate(timeout=200)
    shown = b""
    while select.select([ours], [], [], 0.1)[0]:
        shown += os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    assert (process.returncode, out) == (code, result)
    assert b"that runs: cat" in shown
    assert b"run it? [y/N" in shown


def test_what_a_tool_asks_of_the_user_is_given_like_any_argument(clew: Clew) -> None:
    call = ("tools", "call", "book", "-t", ASKING)
    assert "'book' needs seat" in clew(*call, code=2).err
    assert clew(*call, "seat=3").json == {"seat": 3}


def test_a_tool_whose_result_comes_from_outside_cannot_be_called(clew: Clew) -> None:
    spec = json.dumps({"name": "far", "external": True})
    assert "comes from outside" in clew("tools", "call", "far", "-t", spec, code=2).err


def test_what_a_tool_s_own_commands_print_is_no_part_of_its_result(clew: Clew) -> None:
    (clew.cwd / "loud.py").write_text(
        "import os\ndef loud():\n    os.system('echo noise')\n    return 'ok'"
    )
    assert clew("tools", "call", "loud", "-t", "loud:loud").out == "ok\n"
