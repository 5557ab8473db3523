"""What steps of a workflow ask of somebody, and what was said."""

import threading
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .approvals import LATE, Decide, Settlement, expired, reject_all
from .clock import later, now
from .lines import RunLine
from .records import Requirement, RequirementKind
from .step_tree import flat
from .steps import OnReject, Pause
from .store import Flight
from .text import storable
from .tools import ToolError, ToolSpec, field_value


@dataclass(frozen=True)
class Said:
    """What was decided about a step; `on_reject` is what a no means."""

    settlement: Settlement
    on_reject: OnReject


@dataclass
class Asks:
    """Asks, and holds what was decided and what is open, in the order in which it was asked.

    `waiting` is what an earlier run left open, `settled` what was decided about it, both by the ids
    of the requirements.
    """

    decide: Decide
    user_id: str
    flight: Flight
    waiting: dict[str, Requirement] = field(default_factory=dict)
    settled: dict[str, Settlement] = field(default_factory=dict)
    requirements: list[Requirement] = field(default_factory=list)
    _asking: threading.RLock = field(default_factory=threading.RLock)

    def go_on_from(self, run: RunLine) -> None:
        """Begin with what another run has left open.

        That is also what was decided just before that one died, if nothing came of it: it is
        decided so again, as far as that is known.
        """
        for one in run["requirements"]:
            if "inside" in one or not (one["decision"] is None or _came_to_nothing(one, run)):
                continue
            self.waiting[one["tool_call_id"]] = {**deepcopy(one), "decision": None}
            said = _said_before(one)
            if said is not None:
                self.settled.setdefault(one["tool_call_id"], said)

    def ask(
        self,
        key: str,
        kind: RequirementKind,
        spec: ToolSpec,
        pause: Pause,
        content: str | None = None,
    ) -> Said | None:
        """Ask about a step; None leaves it open, and the run has to pause.

        `key` is the id of what is asked, `spec` names the step and what it needs to be told.
        """
        with self._asking:
            left = self.waiting.pop(key, None)
            one = left or _requirement(key, kind, spec, pause, content)
            said = self._said(one, spec, pause)
            if said is None:
                self.requirements.append(one)
                return None
            self._put_down(one, said.settlement)
            return said

    def leave_open(self, key: str, kind: RequirementKind, spec: ToolSpec, pause: Pause) -> None:
        """Ask about a step, and have nobody answer now."""
        with self._asking:
            self.requirements.append(_requirement(key, kind, spec, pause, None))

    def take_inside(self, requirements: list[Requirement]) -> None:
        """Take over what a run inside this one waits for, or was told."""
        with self._asking:
            self.requirements += requirements

    def _said(self, one: Requirement, spec: ToolSpec, pause: Pause) -> Said | None:
        if expired(one):
            return _said_by_time(one)
        known = self.settled.pop(one["tool_call_id"], None)
        settlement = known or self.decide(one, spec)
        if settlement is None:
            return None
        if expired(one):  # while somebody was asked
            return _said_by_time(one)
        if known is None and self.decide is reject_all and pause.on_reject == "retry":
            return Said(settlement, "skip")  # whoever always says no would have it run for ever
        if settlement.decision == "answered":
            settlement = Settlement(
                "answered", settlement.note, values=_typed(spec, settlement.values)
            )
        return Said(settlement, pause.on_reject)

    def _put_down(self, one: Requirement, settlement: Settlement) -> None:
        one["by"] = None if expired(one) else self.user_id
        one["decision"] = settlement.decision
        one["note"] = settlement.note
        one["at"] = now()
        for each in one["fields"]:
            each["value"] = settlement.values.get(each["name"])
        self.requirements.append(one)
        self.flight.note({"requirement": one})


def _said_by_time(one: Requirement) -> Said:
    """Return what was to become of it that nobody answers in time."""
    how = one["on_timeout"]
    late = Settlement("confirmed" if how == "approve" else "rejected", note=LATE)
    return Said(late, "skip" if how == "skip" else "cancel")


def _came_to_nothing(one: Requirement, run: RunLine) -> bool:
    """Tell whether the step that this is about has stood still since it was decided."""
    key = one["tool_call_id"]
    for what in (":error", ":input", ":review"):
        key = key.removesuffix(what)
    status = next((each["status"] for each in flat(run["steps"]) if each["id"] == key), "PAUSED")
    return run["status"] == "INTERRUPTED" and status == "PAUSED"


def _said_before(one: Requirement) -> Settlement | None:
    """Return what was decided, if the record says it all."""
    if one["decision"] is None or one["kind"] == "review":
        return None
    values = {each["name"]: each["value"] for each in one["fields"]}
    return Settlement(one["decision"], one["note"], values=values)


def _typed(spec: ToolSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for name, given in values.items():
        try:
            typed[name] = field_value(spec, name, given)
        except ToolError:
            typed[name] = given
    return typed


def _requirement(
    key: str, kind: RequirementKind, spec: ToolSpec, pause: Pause, content: str | None
) -> Requirement:
    properties = spec.parameters.get("properties", {}) if kind == "input" else {}
    one: Requirement = {
        "tool_call_id": key,
        "kind": kind,
        "tool_name": spec.name,
        "tool_args": {},
        "fields": [
            {"name": name, "description": shape.get("description"), "value": None}
            for name, shape in properties.items()
        ],
        "decision": None,
        "note": None,
        "by": None,
        "at": None,
    }
    one["step"] = key.partition(":")[0]
    if content is not None:
        one["content"] = content
    if pause.message:
        one["message"] = storable(pause.message)
    if pause.seconds is not None:
        one["expires_at"] = later(pause.seconds)
        one["on_timeout"] = pause.on_timeout
    return one
