"""Who is at work: steps of a workflow, members of a team, as their events tell of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clew.core.events import Event, word_of
from clew.core.records import StepRecord
from clew.core.step_tree import CALLED, is_in
from clew.core.text import shorten

_ENDS = {
    "RunCompleted": ("✓", "is done"),
    "RunPaused": ("waits", "waits for somebody"),
    "RunCancelled": ("✗", "was stopped"),
    "RunError": ("✗", "failed"),
}
_STEP_ENDS = {
    "StepCompleted": "is done",
    "StepSkipped": "was skipped",
    "StepPaused": "waits for somebody",
    "StepCancelled": "was stopped",
    "StepError": "failed",
}
_TOLD_ITERATIONS = 10
_WORDS = 200
_LAST_WORDS = 40


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
    """One run of a member, or a step; `mark` tells how it ended.

    `is_step` is said of the run that a step makes: what it says is shown as it comes.
    """

    name: str
    around: str | None
    since: float
    is_step: bool = False
    tools: dict[str, tuple[str, float]] = field(default_factory=dict)
    words: str = ""
    last_words: str = ""
    is_told: bool = False
    mark: str = ""
    until: float | None = None

    def part(self) -> Part:
        if self.until is not None:
            return Part(f"{self.name} {self.mark}", self.since, self.until)
        for tool, since in self.tools.values():
            return Part(f"{self.name}: {tool}", since)
        said = " ".join(self.last_words.split())
        return Part(f"{self.name}: …{said}" if said else self.name, self.since)

    def says(self, piece: str, *, is_answer: bool) -> None:
        """Take a piece; what may not be the answer is told again if it is, then whole."""
        if is_answer:
            self.words = (self.words + piece)[:_WORDS]
        if self.is_step and not (is_answer and self.is_told):
            self.last_words = (self.last_words + piece)[-_LAST_WORDS:]
        self.is_told = self.is_told or not is_answer


class AtWork:
    """Follows the events of all runs; a member in a team in the team is called TEAM/MEMBER."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}
        self._tasks: dict[str, str] = {}
        self._late: set[str] = set()

    def take(self, event: Event) -> None:
        """Take an event of a run, of the team's or workflow's own or of one inside it."""
        word, run_id = word_of(event), event["run_id"] or ""
        member = self._members.get(run_id)
        if "tool" in event:
            self._take_call(word, event, member)
        elif "step" in event:
            self._take_step(word, event, run_id)
        elif word == "ModelRequestStarted":
            self._forget_those_in(run_id)
        elif event["parent_run_id"] is None:
            return
        elif word == "RunStarted":
            self._begin(event, run_id)
        elif member is not None and word in ("ModelContent", "RunContent"):
            member.says(event["content"], is_answer=word == "RunContent")
        elif member is not None and word in _ENDS:
            member.mark, member.until = _ENDS[word][0], time.monotonic()

    def _begin(self, event: Event, run_id: str) -> None:
        around = event["parent_run_id"]
        step = event.get("step_id")
        name = f"{self.prefix(around, '/')}{step or event.get('name')}"
        inside = around if step is None else _key(around or "", step)
        self._members[run_id] = _Member(name, inside, time.monotonic(), step is not None)

    def _take_step(self, word: str, event: Event, run_id: str) -> None:
        step = event["step"]
        key = _key(run_id, step["id"])
        if word == "LoopIterationStarted" and int(step["name"]) > _TOLD_ITERATIONS:
            self._late.add(key)
        elif step["kind"] == "iteration":
            self._late.discard(key)
        if step["kind"] not in CALLED:
            return
        if word == "StepStarted":
            self._members[key] = _Member(self.called(event), run_id, time.monotonic())
        else:
            self._forget_those_in(key)
            self._members.pop(key, None)

    def _take_call(self, word: str, event: Event, member: _Member | None) -> None:
        tool = event["tool"]
        if "child_run_id" in tool:
            self._tasks[tool["child_run_id"]] = _task_of(tool["tool_args"])
        elif member is not None and word == "ToolCallStarted":
            member.tools[tool["tool_call_id"]] = (tool["tool_name"], time.monotonic())
        elif member is not None:
            member.tools.pop(tool["tool_call_id"], None)

    def _forget_those_in(self, around: str) -> None:
        """Forget those inside something that has ended, or whose work this run goes on from."""
        for inner in [key for key, member in self._members.items() if member.around == around]:
            self._forget_those_in(inner)
            del self._members[inner]

    def prefix(self, run_id: str | None, end: str = ": ") -> str:
        """Return what goes before something that is told of a run: whose it is, if a member's."""
        member = self._members.get(run_id or "")
        return f"{member.name}{end}" if member is not None else ""

    def called(self, event: Event) -> str:
        """Return what the step of an event is called: where it stands."""
        return f"{self.prefix(event['run_id'], '/')}{event['step']['id']}"

    def parts(self) -> Iterator[Part]:
        """Yield what each member does, or how it ended; a team that has others at work is they."""
        busy = {member.around for member in self._members.values() if member.until is None}
        for run_id, member in self._members.items():
            if run_id not in busy and not (member.is_step and member.until is not None):
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

    def is_late(self, event: Event) -> bool:
        """Tell whether a step is in one of many iterations: the first are enough to be told of."""
        key = _key(event["run_id"] or "", event["step"]["id"])
        return any(is_in(key, iteration) for iteration in self._late)

    def how_a_step_ended(self, event: Event) -> str:
        """Return what to tell of a step that ended; nothing of most that hold others."""
        step, how = event["step"], _STEP_ENDS.get(event["event"])
        if event["event"] == "LoopExecutionCompleted":
            return (
                f"{self.called(event)} is done ({step.get('iterations', 0)} times, {_facts(step)})"
            )
        if how is None or step["kind"] not in CALLED:
            return ""
        said = " ".join(_outcome(step).split())
        told = f"{self.called(event)} {how} ({_facts(step)})"
        return f"{told}: {shorten(said)}" if said else told


def _key(run_id: str, step: str) -> str:
    return f"{run_id}:{step}"


def _outcome(step: StepRecord) -> str:
    """Return why a step failed or, of one that has come to something, that."""
    if step["error"] is not None:
        return step["error"]["message"]
    return step["content"] if step["status"] == "COMPLETED" else ""


def _facts(step: StepRecord) -> str:
    used = step["metrics"]
    tokens = f", {used['total_tokens']} tokens" if used is not None else ""
    return f"{step['duration']:.1f} s{tokens}"


def _task_of(arguments: dict[str, Any]) -> str:
    """Return what a member is asked, as far as the call tells: a task of a list by its number."""
    if "task_id" in arguments:
        return f"task {arguments['task_id']}"
    return str(arguments.get("task", ""))
