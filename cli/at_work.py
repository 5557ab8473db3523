"""Whom a team has at work: the runs of its members, as their events tell of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clew.core.events import Event, word_of
from clew.core.text import shorten

_ENDS = {
    "RunCompleted": ("✓", "is done"),
    "RunPaused": ("waits", "waits for somebody"),
    "RunCancelled": ("✗", "was stopped"),
    "RunError": ("✗", "failed"),
}
_WORDS = 200


@dataclass(frozen=True)
class Part:
    """Something that goes on since then, or went on until then: a time.monotonic() each."""

    label: str
    since: float
    until: float | None = None

    def seconds(self, now: float) -> str:
        """Return how long it has gone on."""
        return f" {(now if self.until is None else self.until) - self.since:.0f} s"


@dataclass
class _Member:
    """One run of a member; `mark` tells how it ended."""

    name: str
    around: str | None
    since: float
    tools: dict[str, tuple[str, float]] = field(default_factory=dict)
    words: str = ""
    mark: str = ""
    until: float | None = None

    def part(self) -> Part:
        if self.until is not None:
            return Part(f"{self.name} {self.mark}", self.since, self.until)
        for tool, since in self.tools.values():
            return Part(f"{self.name}: {tool}", since)
        return Part(self.name, self.since)


class AtWork:
    """Follows the events of all runs; a member in a team in the team is called TEAM/MEMBER."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}
        self._tasks: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """Take an event of a run, of the team's own or of a member's."""
        word, run_id = word_of(event), event["run_id"] or ""
        member = self._members.get(run_id)
        if "tool" in event:
            self._take_call(word, event, member)
        elif word == "ModelRequestStarted":
            self._forget_those_in(run_id)
        elif event["parent_run_id"] is None:
            return
        elif word == "RunStarted":
            name = f"{self.prefix(event['parent_run_id'], '/')}{event.get('name')}"
            self._members[run_id] = _Member(name, event["parent_run_id"], time.monotonic())
        elif member is not None and word == "RunContent":
            member.words = (member.words + event["content"])[:_WORDS]
        elif member is not None and word in _ENDS:
            member.mark, member.until = _ENDS[word][0], time.monotonic()

    def _take_call(self, word: str, event: Event, member: _Member | None) -> None:
        tool = event["tool"]
        if "child_run_id" in tool:
            self._tasks[tool["child_run_id"]] = _task_of(tool["tool_args"])
        elif member is not None and word == "ToolCallStarted":
            member.tools[tool["tool_call_id"]] = (tool["tool_name"], time.monotonic())
        elif member is not None:
            member.tools.pop(tool["tool_call_id"], None)

    def _forget_those_in(self, run_id: str) -> None:
        """Forget the members whose work this run goes on from."""
        for inner in [key for key, member in self._members.items() if member.around == run_id]:
            self._forget_those_in(inner)
            del self._members[inner]

    def prefix(self, run_id: str | None, end: str = ": ") -> str:
        """Return what goes before something that is told of a run: whose it is, if a member's."""
        member = self._members.get(run_id or "")
        return f"{member.name}{end}" if member is not None else ""

    def parts(self) -> Iterator[Part]:
        """Yield what each member does, or how it ended; a team that has others at work is they."""
        busy = {member.around for member in self._members.values() if member.until is None}
        for run_id, member in self._members.items():
            if run_id not in busy:
                yield member.part()

    def how_it_began(self, event: Event) -> str:
        """Return what to tell of a member that begins."""
        task = " ".join(self._tasks.get(event["run_id"] or "", "").split())
        return f"asking {self.prefix(event['run_id'])}{shorten(task)}".removesuffix(": ")

    def how_it_ended(self, event: Event) -> str:
        """Return what to tell of a member that ended."""
        member = self._members[event["run_id"] or ""]
        used = event["metrics"]
        error = event.get("error")
        said = " ".join((error["message"] if error is not None else member.words).split())
        how = f"{member.name} {_ENDS[word_of(event)][1]}"
        facts = f"({used['duration']:.1f} s, {used['total_tokens']} tokens)"
        return f"{how} {facts}: {shorten(said)}" if said else f"{how} {facts}"


def _task_of(arguments: dict[str, Any]) -> str:
    """Return what a member is asked, as far as the call tells: a task of a list by its number."""
    if "task_id" in arguments:
        return f"task {arguments['task_id']}"
    return str(arguments.get("task", ""))
