"""Asking the person at the terminal whether a tool may run, or for what only they know."""

import json
import sys
from typing import TYPE_CHECKING

from clew.core.approvals import Decide, Settlement, confirm_all, pause, reject_all

from . import output

if TYPE_CHECKING:
    from clew.core.lines import Requirement
    from clew.core.tools import ToolSpec

_YES = ("y", "yes")
_NO = ("n", "no", "")


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
    output.note(f"the model wants to call {describe(requirement)}")
    if tool.command is not None:
        output.note(f"that runs: {tool.command}")
    if requirement["kind"] == "result":
        output.note("its result comes from outside: see `clew continue --result`")
        return None
    if requirement["kind"] == "input":
        return _values(requirement)
    said = _line("run it? [y/N, or why not] ")
    if said is None:
        return None
    if said.strip().lower() in _YES:
        return Settlement("confirmed")
    note = None if said.strip().lower() in _NO else said.strip()
    return Settlement("rejected", note=note)


def _values(requirement: "Requirement") -> Settlement | None:
    values = {}
    for each in requirement["fields"]:
        what = f" ({each['description']})" if each["description"] else ""
        said = _line(f"{each['name']}{what}: ")
        if said is None:
            return None
        values[each["name"]] = said
    return Settlement("answered", values=values)


def _line(question: str) -> str | None:
    """Return a line from the terminal; None at its end."""
    output.ask(question)
    said = sys.stdin.readline()
    return said.rstrip("\n") if said else None


def describe(requirement: "Requirement") -> str:
    """Return a tool and its arguments as they would be called."""
    arguments = json.dumps(requirement["tool_args"], ensure_ascii=False)
    return f"{requirement['tool_name']}({arguments})"
