"""Asking the person at the terminal whether a tool or a step may run, or what only they know."""

import json
import shlex
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from clew.core.approvals import LATE, Decide, Settlement, confirm_all, pause, reject_all
from clew.core.text import storable

from . import output
from .caller import CALLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.core.records import Requirement
    from clew.core.tools import ToolSpec

_YES = ("y", "yes")
_NO = ("n", "no", "")
_THEN = {
    "approve": "it is approved",
    "skip": "the step is left out",
    "cancel": "the workflow is cancelled",
}
_EDIT = ("e", "edit")
_CONFIRM = "--confirm or --reject"
_MAY_RUN = "run it? [y/N, or why not] "
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
    if "step" in requirement:
        return _ask_about_step(requirement, tool)
    who = requirement["inside"]["name"] if "inside" in requirement else "the model"
    output.note(f"{who} wants to call {describe(requirement)}")
    if tool.command is not None:
        output.note(f"that runs: {tool.command}")
    if requirement["kind"] == "result":
        output.note("its result comes from outside: see `clew continue --result`")
        return None
    if requirement["kind"] == "input":
        return _values(requirement, tool)
    return _decided(_line(_MAY_RUN))


def _decided(said: str | None) -> Settlement | None:
    if said is None:
        return None
    if said.strip().lower() in _YES:
        return Settlement("confirmed")
    note = None if said.strip().lower() in _NO else storable(said.strip())
    return Settlement("rejected", note=note)


def _ask_about_step(requirement: "Requirement", tool: "ToolSpec") -> Settlement | None:
    """Tell what a step waits for, and what it is about, and ask."""
    what = {"input": "needs to be told", "review": "is to be looked over"}
    message = requirement.get("message")
    waits = f"{_step(requirement)} {what.get(requirement['kind'], 'wants to run')}"
    output.note(f"{waits}: {message}" if message else waits)
    if tool.command is not None and requirement["kind"] == "confirm":
        output.note(f"that runs: {tool.command}")
    if "content" in requirement:
        output.quote(requirement["content"])
    match requirement["kind"]:
        case "input":
            return _values(requirement, tool)
        case "review":
            return _looked_over(requirement.get("content", ""))
        case _:
            return _decided(_line(_MAY_RUN))


def _looked_over(content: str) -> Settlement | None:
    """Ask whether what a step has come to is taken; it may be put otherwise, in an editor."""
    while (said := _line("take it? [y/N, e to edit it, or why not] ")) is not None:
        if said.strip().lower() not in _EDIT:
            return _decided(said)
        edited = _edited(content)
        if edited is not None:
            return Settlement("supplied", result=storable(edited))
    return None


def _edited(text: str) -> str | None:
    """Return the text as it was saved in an editor; None if it was not."""
    import click

    output.ask("in your editor …")
    try:
        edited: str | None = click.edit(text, extension=".txt")
    except click.ClickException as error:
        edited = None
        output.note(error.format_message())
    finally:
        output.end_question()
    return None if edited is None else edited.removesuffix("\n")


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
    """Return a line from the terminal; None at its end, or where it does not let itself be read."""
    output.ask(question)
    said = ""
    try:
        with suppress(OSError):  # in the background, for one that nobody can stop there
            CALLER.wait_to_read(sys.stdin.fileno())
            said = sys.stdin.readline()
    finally:
        output.end_question(answered=said.endswith("\n"))
    return said.rstrip("\n") if said else None


def what_is_open(requirement: "Requirement") -> str:
    """Return which call, or step, waits, and for what."""
    if "step" in requirement:
        return _open_step(requirement)
    call = f"{describe(requirement)} [{requirement['tool_call_id']}]"
    if "inside" in requirement:
        call = f"{requirement['inside']['name']}: {call}"
    return f"{call} waits for {settles(requirement)}"


def _open_step(requirement: "Requirement") -> str:
    call, message = requirement["tool_call_id"], requirement.get("message")
    named = "" if call == requirement.get("step") and "inside" not in requirement else f" [{call}]"
    told = f" ({message})" if message else ""
    described = [each["description"] for each in requirement["fields"] if each["description"]]
    about = f" ({'; '.join(described)})" if described else ""
    late = ""
    if "expires_at" in requirement:
        until = requirement["expires_at"].replace("T", " ")[:16]
        then = _THEN.get(requirement.get("on_timeout", ""), "it is decided")
        late = f", until {until} UTC; then {then}"
    return f"{_step(requirement)}{named}{told} waits for {settles(requirement)}{about}{late}"


def how_time_decided(requirement: "Requirement") -> str:
    """Return what came of it that nobody answered in time; nothing where somebody did."""
    is_told = requirement.get("on_timeout") == "cancel"  # by the error
    if requirement["note"] != LATE or is_told:
        return ""
    then = _THEN.get(requirement.get("on_timeout", ""), "it is decided")
    return f"nobody answered {_step(requirement)} in time: {then}"


def _step(requirement: "Requirement") -> str:
    """Return a step that waits, of a workflow inside with that one's name."""
    inside = f"{requirement['inside']['name']}/" if "inside" in requirement else ""
    return f"step '{inside}{requirement.get('step')}'"


def settles(requirement: "Requirement") -> str:
    """Return the options that settle it."""
    match requirement["kind"]:
        case "confirm":
            return _CONFIRM
        case "input":
            return " ".join(
                f"--answer {_as_word(each['name'])}=VALUE" for each in requirement["fields"]
            )
        case "result":
            return f"--result {_as_word(requirement['tool_call_id'])}=TEXT"
        case "review":
            return f"--confirm, --reject or --result {_as_word(requirement['tool_call_id'])}=TEXT"


def ways(open_ones: "Sequence[Requirement]") -> str:
    """Return the options that settle these, each once."""
    told = list(dict.fromkeys(settles(one) for one in open_ones))
    if any(one["kind"] == "review" for one in open_ones):
        told = [way for way in told if way != _CONFIRM]  # they are told with the other
    return ", ".join(told)


def _as_word(text: str) -> str:
    """Return a text as a shell takes it: a step may have a name of several words."""
    return shlex.quote(text)


def describe(requirement: "Requirement") -> str:
    """Return a tool and its arguments as they would be called."""
    arguments = json.dumps(requirement["tool_args"], ensure_ascii=False)
    return f"{requirement['tool_name']}({arguments})"
