"""What somebody says to a paused run, weighed against how that run stands by now."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .approvals import (
    CONFIRMABLE,
    Answers,
    Decide,
    Settlement,
    confirm_all,
    expired,
    pause,
    reject_all,
)
from .chain import Chain
from .errors import UsageError
from .lines import RunLine
from .records import Requirement
from .tools import ToolError, ToolSpec, field_value


def settlements(chain: Chain, answers: Answers) -> dict[str, Settlement]:
    """Return what is settled of what still waits; nothing, if all that was meant is settled.

    Meant are the calls that were open in the run that was named: what it has come to wait for
    since then, nobody has seen. Raises UsageError for what is not open.
    """
    first = chain.first
    if first["status"] != "PAUSED":
        raise UsageError(f"run {first['run_id']!r} is {first['status']}: it waits for nothing")
    meant = answers.settle(first["requirements"])
    if not meant:
        raise UsageError(f"nothing is settled by that: {waits_for(first)}", hint=_hint(first))
    still_open = _still_open(chain)
    return {call: said for call, said in meant.items() if call in still_open}


def fitted(
    settled: Mapping[str, Settlement],
    chain: Chain,
    tools: Mapping[str, ToolSpec],
    inside: Mapping[str, Mapping[str, ToolSpec] | None],
) -> dict[str, Settlement]:
    """Return what is settled in the tools' types; raise UsageError for what cannot be done.

    `tools` are also a workflow's steps; `inside` are those of members and of steps that are runs,
    by their names; None where nobody knows them yet.
    """
    fit: dict[str, Settlement] = {}
    for call, one in _still_open(chain).items():
        member = one.get("inside")
        said = settled.get(call)
        if member is not None and member["name"] not in inside:
            fit[call] = _no_to_missing(one, said, member["name"])
            continue
        known = tools if member is None else inside[member["name"]]
        if known is not None:
            _refuse_missing(one, said, known)
        if said is not None:
            fit[call] = said if known is None else _typed(one, said, known)
    return fit


def refuse_unsettled(run: RunLine, decide: Decide) -> None:
    """Raise UsageError if the run is paused, and nobody will say a word to what it waits for."""
    if run["status"] != "PAUSED" or any(map(expired, open_ones(run))):
        return
    confirmable = any(one["kind"] in CONFIRMABLE for one in open_ones(run))
    if decide is pause or (decide is confirm_all and not confirmable):
        raise UsageError(waits_for(run), hint=_hint(run))


def settles_only(run: RunLine | None, settled: Mapping[str, Settlement], decide: Decide) -> bool:
    """Tell whether to go on with the run settles what it waits for, and calls no tool."""
    if run is None or run["status"] != "PAUSED":
        return False
    if settled:
        return not any(said.calls for said in settled.values())
    return decide is reject_all


_WAYS = {"confirm": "--confirm", "review": "--confirm", "input": "--answer", "result": "--result"}


def _hint(run: RunLine) -> str:
    kinds = {one["kind"] for one in open_ones(run)}
    ways = ", ".join(dict.fromkeys(way for kind, way in _WAYS.items() if kind in kinds))
    return f"settle it with {ways} or --reject"


def open_ones(run: RunLine) -> list[Requirement]:
    """Return what a run waits for."""
    return [one for one in run["requirements"] if one["decision"] is None]


def waits_for(run: RunLine) -> str:
    """Return, in words, what a run waits for."""
    waits = ", ".join(f"{one['tool_name']} ({one['kind']})" for one in open_ones(run))
    return f"run {run['run_id']!r} waits for {waits}"


def _still_open(chain: Chain) -> dict[str, Requirement]:
    first, tip = chain.first, chain.tip
    waiting = {one["tool_call_id"]: one for one in open_ones(tip)}
    if tip is first or tip["status"] != "PAUSED":
        return waiting if tip is first else {}
    # A model may give a new call the id of one that has its result by now.
    answered = {message.get("tool_call_id") for message in tip["messages"]}
    return {call: one for call, one in waiting.items() if call not in answered}


def _refuse_missing(
    one: Requirement, said: Settlement | None, tools: Mapping[str, ToolSpec]
) -> None:
    """A call whose tool is not there would not wait any longer: the model would be told so."""
    needless = said is not None and said.decision in ("rejected", "supplied")
    if needless or one["tool_name"] in tools:
        return
    missing = f"the run waits for {one['tool_name']!r}, and there is no such tool"
    if "inside" not in one:
        raise UsageError(missing, hint="-t says where it is")
    raise UsageError(
        f"{one['inside']['name']}: {missing}", hint="the member needs it again, or --reject"
    )


def _no_to_missing(one: Requirement, said: Settlement | None, member: str) -> Settlement:
    """Return a no to what a member waits for that is not there; anything else is an error."""
    if said is not None and said.decision == "rejected":
        return said
    raise UsageError(
        f"the run waits for {one['tool_name']!r} of {member!r}, and the team has no such member",
        hint="put it into the team again, or --reject",
    )


def _typed(requirement: Requirement, said: Settlement, tools: Mapping[str, ToolSpec]) -> Settlement:
    if said.decision != "answered":
        return said
    spec = tools[requirement["tool_name"]]
    values: dict[str, Any] = {}
    for name, given in said.values.items():
        try:
            values[name] = field_value(spec, name, given)
        except ToolError as error:
            raise UsageError(f"--answer {name}: {error.message}") from None
    return replace(said, values=values)
