"""Asking the person at the terminal whether a tool may run, or for what only they know."""

import json
import sys
from typing import TYPE_CHECKING, Any

from clew.core.approvals import Decide, Settlement, confirm_all, pause, reject_all
from clew.core.text import storable

from . import output

if TYPE_CHECKING:
    from clew.core.lines import Requirement
    from clew.core.tools import ToolSpec

_YES = ("y", "yes")
_NO = ("n", "no", "")
_NOTHING = object()


def decider(mode: str | None) -> Decide:
    """Return who decides: for `ask`, the default, the terminal if there is one, else nobody."""
    if mode == "auto":
        return confirm_all
    if mode == "deny":
        return reject_all
    if mode == "pause" or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return pause
    return _ask


def _ask(requirement: "Requirement", tool: "ToolSpec") -> Settlement | None:
    """Show exactly what will run, and ask; no answer leaves it open."""
    who = requirement["inside"]["name"] if "inside" in requirement else "the model"
    output.note(f"{who} wants to call {describe(requirement)}")
    if tool.command is not None:
        output.note(f"that runs: {tool.command}")
    if requirement["kind"] == "result":
        output.note("its result comes from outside: see `clew continue --result`")
        return None
    if requirement["kind"] == "input":
        return _values(requirement, tool)
    said = _line("run it? [y/N, or why not] ")
    if said is None:
        return None
    if said.strip().lower() in _YES:
        return Settlement("confirmed")
    note = None if said.strip().lower() in _NO else storable(said.strip())
    return Settlement("rejected", note=note)


def _values(requirement: "Requirement", tool: "ToolSpec") -> Settlement | None:
    values = {}
    for each in requirement["fields"]:
        what = f" ({each['description']})" if each["description"] else ""
        value = _value(tool, each["name"], f"{each['name']}{what}: ")
        if value is _NOTHING:
            return None
        values[each["name"]] = value
    return Settlement("answered", values=values)


def _value(tool: "ToolSpec", name: str, question: str) -> Any:
    """Ask until the value fits the tool's schema; return `_NOTHING` if none is given."""
    from clew.core.tools import ToolError, field_value

    while (said := _line(question)) is not None:
        try:
            return field_value(tool, name, storable(said))
        except ToolError as error:
            output.note(error.message)
    return _NOTHING


def _line(question: str) -> str | None:
    """Return a line from the terminal; None at its end."""
    output.ask(question)
    said = ""
    try:
        said = sys.stdin.readline()
    finally:
        output.end_question(answered=said.endswith("\n"))
    return said.rstrip("\n") if said else None


def what_is_open(requirement: "Requirement") -> str:
    """Return which call waits, and for what."""
    call = f"{describe(requirement)} [{requirement['tool_call_id']}]"
    if "inside" in requirement:
        call = f"{requirement['inside']['name']}: {call}"
    return f"{call} waits for {settles(requirement)}"


def settles(requirement: "Requirement") -> str:
    """Return the options that settle it."""
    match requirement["kind"]:
        case "confirm":
            return "--confirm or --reject"
        case "input":
            return " ".join(f"--answer {each['name']}=VALUE" for each in requirement["fields"])
        case "result":
            return f"--result {requirement['tool_call_id']}=TEXT"


def describe(requirement: "Requirement") -> str:
    """Return a tool and its arguments as they would be called."""
    arguments = json.dumps(requirement["tool_args"], ensure_ascii=False)
    return f"{requirement['tool_name']}({arguments})"
