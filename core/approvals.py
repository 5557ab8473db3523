"""Who lets a tool run, gives it what only a person knows, or stands in for it."""

from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .clock import now
from .deadline import within
from .errors import UsageError
from .records import Decision, Requirement
from .stop import Stop
from .tools import ToolSpec

CONFIRMABLE = ("confirm", "review")
"""Kinds of what needs no more than a yes."""
LATE = "nobody answered in time"
"""What is noted where it was the time that decided."""


@dataclass(frozen=True)
class Settlement:
    """What was decided about a requirement; `values` are for its fields, `result` is the tool's."""

    decision: Decision
    note: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    result: str = ""

    @property
    def calls(self) -> bool:
        """Whether the tool is to be called."""
        return self.decision in ("confirmed", "answered")


def expired(requirement: Requirement) -> bool:
    """Tell whether the time is over in which somebody could settle this."""
    return requirement["decision"] is None and requirement.get("expires_at", "~") <= now()


Decide = Callable[[Requirement, ToolSpec], Settlement | None]
"""Decides about a requirement at once; None leaves it open, and the run pauses."""


def pause(_requirement: Requirement, _tool: ToolSpec) -> None:
    """Decide nothing."""


def confirm_all(requirement: Requirement, _tool: ToolSpec) -> Settlement | None:
    """Say yes to whatever needs no more than that."""
    return Settlement("confirmed") if requirement["kind"] in CONFIRMABLE else None


def reject_all(_requirement: Requirement, _tool: ToolSpec) -> Settlement:
    """Say no."""
    return Settlement("rejected", note="tools that need approval are not allowed here")


def stoppable(decide: Decide, stop: Stop) -> Decide:
    """Return what decides, given up when the run is to stop: a signal does not reach its thread."""
    if decide in (pause, confirm_all, reject_all):
        return decide

    def decided(requirement: Requirement, spec: ToolSpec) -> Settlement | None:
        stop.check()
        return within(None, lambda _give: decide(requirement, spec), lambda _piece: None, stop)

    return decided


@dataclass(frozen=True)
class Answers:
    """What somebody says to the open requirements of a paused run.

    A call is named by its id, or by its tool (of a team's member also `member/tool`) where only one
    call of it is open; `""` stands for all that are left. `fields` are values by the names of the
    fields that ask for them.
    """

    confirm: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    note: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return bool(self.confirm or self.reject or self.fields or self.results)

    def settle(self, requirements: Iterable[Requirement]) -> dict[str, Settlement]:
        """Return what is settled, by the ids of the calls; raise UsageError for what is not open.

        Raises it also for a call that is settled twice, and for a value that helps no call: one
        that needs several fields is answered when each has a value.
        """
        waiting = {one["tool_call_id"]: one for one in requirements if one["decision"] is None}
        settled: dict[str, Settlement] = {}
        for name, text in self.results.items():
            call = _find(waiting, name, ("result", "review"))
            _add(settled, call, Settlement("supplied", self.note, result=text))
        for name in filter(None, self.confirm):
            _add(settled, _find(waiting, name, CONFIRMABLE), Settlement("confirmed", self.note))
        for name in filter(None, self.reject):
            _add(settled, _find(waiting, name, None), Settlement("rejected", self.note))
        for call, values in self._answered(waiting).items():
            _add(settled, call, Settlement("answered", self.note, values=values))
        if "" in self.confirm and "" in self.reject:
            raise UsageError("all that is left cannot be both confirmed and rejected")
        rest = {call: one for call, one in waiting.items() if call not in settled}
        if "" in self.confirm:
            yes = [call for call, one in rest.items() if one["kind"] in CONFIRMABLE]
            settled |= dict.fromkeys(yes, Settlement("confirmed", self.note))
        if "" in self.reject:
            settled |= dict.fromkeys(rest, Settlement("rejected", self.note))
        return settled

    def _answered(self, waiting: Mapping[str, Requirement]) -> dict[str, dict[str, Any]]:
        asked = {call: one for call, one in waiting.items() if one["kind"] == "input"}
        names = {each["name"] for one in asked.values() for each in one["fields"]}
        for name in self.fields:
            if name not in names:
                known = ", ".join(sorted(names)) or "none"
                raise UsageError(f"no field {name!r} is asked for", hint=f"asked for: {known}")
        wholly = {call: one for call, one in asked.items() if _names(one) <= self.fields.keys()}
        used = {name for one in wholly.values() for name in _names(one)}
        for call, one in asked.items():
            if call not in wholly and not (self.fields.keys() & _names(one)) <= used:
                missing = ", ".join(sorted(_names(one) - self.fields.keys()))
                raise UsageError(f"call {call!r} ({one['tool_name']}) also asks for {missing}")
        return {call: {n: self.fields[n] for n in _names(one)} for call, one in wholly.items()}


def _add(settled: dict[str, Settlement], call: str, settlement: Settlement) -> None:
    if settled.setdefault(call, settlement).decision != settlement.decision:
        raise UsageError(
            f"call {call!r} cannot be both {settled[call].decision} and {settlement.decision}"
        )


def _names(requirement: Requirement) -> KeysView[str]:
    """Return the names of the fields, in their order."""
    return dict.fromkeys(each["name"] for each in requirement["fields"]).keys()


def _called(one: Requirement) -> list[str]:
    """Return what the tool of a call is called; of a team's member, with the member as well."""
    tool = one["tool_name"]
    return [tool, f"{one['inside']['name']}/{tool}"] if "inside" in one else [tool]


def _find(waiting: Mapping[str, Requirement], name: str, kinds: Sequence[str] | None) -> str:
    """Return the id of the open call of this name; raise UsageError if that is not one."""
    found = [call for call, one in waiting.items() if name in (call, *_called(one))]
    if len(found) == 1 and (kinds is None or waiting[found[0]]["kind"] in kinds):
        return found[0]
    shown = ", ".join(
        f"{one['tool_call_id']} ({_called(one)[-1]}, needs {one['kind']})"
        for one in waiting.values()
    )
    if len(found) > 1:
        raise UsageError(f"several open calls are of {name!r}", hint=f"open: {shown}")
    if found:
        needs, said = waiting[found[0]]["kind"], (kinds or [""])[0]
        raise UsageError(f"call {name!r} needs {needs}, not {said}", hint=f"open: {shown}")
    raise UsageError(f"no open call {name!r}", hint=f"open: {shown}" if shown else None)
