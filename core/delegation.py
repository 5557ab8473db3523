"""How a team's leader has its members work: a tool whose call is a run of a member."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from .approvals import Decide, Settlement, confirm_all, pause, reject_all
from .calling import Runnable, call_inside
from .errors import ClewError, StoreError
from .inside import RunInside
from .invocation import Invocation
from .lines import RunLine
from .records import InnerRecord, Requirement, ToolRecord
from .tools import DELEGATE, RunContext, ToolError, ToolSpec

_WHAT = "Have a member of the team do a task, and return the member's answer."


@dataclass(frozen=True)
class Members:
    """The members of a team, by name, at work in one run of it.

    `how` says how each is called, `before` what it is told ahead of its task, in view of the calls
    that have ended.
    """

    runnables: Mapping[str, Runnable]
    how: Callable[[str], Invocation]
    before: Callable[[Sequence[ToolRecord]], str]
    _asking: Lock = field(default_factory=Lock)

    def work(self, name: str, task: str, context: RunInside, told: str = "") -> str:
        """Have a member do a task, and return its answer; raise ToolError if there is none.

        A limit of a run around the member's ends that one, too: it is for no leader to hear of.

        `told` is what it is told ahead of this task only.
        """
        if name not in self.runnables:  # it was there when the call was made
            raise ToolError(f"the team has no member {name!r} any more")
        inside = context.inside
        inside.preface = self.before(inside.ended) + told
        how = self.how(name)
        decide = decided_for(name, how.decide, self._asking)
        how = replace(how, decide=decide, files=inside.outer.files)
        try:
            line = call_inside(self.runnables[name], task, how, inside)
        except StoreError:
            raise
        except ClewError as error:
            if inside.is_around(error):
                raise
            raise ToolError(f"{name} could not begin: {error.message}") from None
        if line["status"] != "COMPLETED":
            raise ToolError(_failure(name, line))
        if not line["content"].strip():
            raise ToolError(f"{name} gave no answer")
        return line["content"]


class DelegateTask:
    """Has one member do a task. `is_answer`: what the member says is the team's answer.

    `shares_input`: a member that is given no task gets what the team was asked.
    """

    reads_session = True
    makes_runs = True

    def __init__(
        self, members: Members, *, is_answer: bool = False, shares_input: bool = False
    ) -> None:
        self._members = members
        self.is_answer = is_answer
        self._shares_input = shares_input
        properties = {
            "member_id": {"type": "string", "enum": list(members.runnables)},
            "task": {
                "type": "string",
                "description": "What the member is to do; it sees nothing of this conversation.",
            },
        }
        parameters = {
            "type": "object",
            "properties": properties,
            "required": ["member_id", *([] if shares_input else ["task"])],
            "additionalProperties": False,
        }
        self.spec = ToolSpec(DELEGATE, _WHAT, parameters, is_foreign=True)

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Have the member work, and return what it says."""
        assert isinstance(context, RunInside), "only a run has members work"
        task = arguments.get("task", context.inside.outer.input)
        if not task.strip():
            raise ToolError("the task is empty: say what the member is to do")
        name = str(arguments.get("member_id"))
        answer = self._members.work(name, task, context)
        return f"{name} says:\n{answer}" if self._shares_input else answer

    def stop(self) -> None:
        """Nothing: the members' runs see for themselves that they are to stop."""


def decided_for(name: str, decide: Decide, asking: Lock) -> Decide:
    """Return what decides, one thing at a time, told whose tool call it is about."""
    if decide in (pause, confirm_all, reject_all):
        return decide

    def decided(requirement: Requirement, spec: ToolSpec) -> Settlement | None:
        inner = requirement.get("inside")
        whose = "/".join(filter(None, (name, inner["name"] if inner else None)))
        about: InnerRecord = {"name": whose, "run_id": "", "tool_call_id": ""}
        with asking:
            return decide({**requirement, "inside": about}, spec)

    return decided


def _failure(name: str, line: RunLine) -> str:
    why = f": {line['error']['message']}" if line["error"] else ""
    said = f"\nIt had said: {line['content']}" if line["content"] else ""
    return f"{name} has no answer, its run is {line['status']}{why}{said}"
