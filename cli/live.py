"""Shows a run while it goes on: text as it streams, or events as lines of JSON; notes on stderr."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from clew.core.events import Event, word_of
from clew.core.lines import RunLine
from clew.core.records import ToolRecord
from clew.core.text import shorten
from clew.core.usage import Totals

from . import output
from .approve import how_time_decided, ways, what_is_open
from .at_work import AtWork, Part

if TYPE_CHECKING:
    from .status import StatusLine

_TEXTS = ("ModelContent", "RunContent", "RunIntermediateContent")


class TextLive:
    """Prints the answer's text as it comes, and ends it with exactly one newline."""

    def __init__(
        self, *, prints: bool, quiet: bool, verbose: bool, status: "StatusLine | None" = None
    ) -> None:
        self._prints = prints
        self._quiet = quiet
        self._verbose = verbose
        self._tells = not quiet and (verbose or sys.stderr.isatty())
        self._held = ""
        self._shown = False
        self.started = False
        self._status = status
        self._tools: dict[str, tuple[ToolRecord, float]] = {}
        self._at_work = AtWork()
        self.line: RunLine | None = None

    def begin(self, what: str) -> None:
        """Show that something goes on, before there is an event."""
        if self._status is not None:
            output.make_way_for(self._status)
            self._status.show(what)

    @contextmanager
    def meanwhile(self, what: str) -> Iterator[None]:
        """Show that this goes on, as long as the block does."""
        self.begin(what)
        try:
            yield
        finally:
            if self._status is not None:
                self._status.hide()

    def __call__(self, event: Event) -> None:
        """Take an event; the last one leaves the run's line in `line`."""
        self.line = event.get("run", self.line)
        self._at_work.take(event)
        if self._status is not None:
            self._follow(event, self._status)
        if event["parent_run_id"] is None:
            self._take_own(event)
        elif not self._quiet:
            self._say(event)

    def _take_own(self, event: Event) -> None:
        """Take an event of the run that was asked for: its answer is what is printed."""
        match word_of(event):
            case "ModelContent" if self._prints and sys.stdout.isatty():
                self._shown = True
                self._text(event["content"])
            case "RunContent" if self._prints and not self._shown:
                self._text(event["content"])
            case "RunIntermediateContent" if self._shown:
                self._break()
            case _:
                if not self._quiet:
                    self._say(event)

    def _follow(self, event: Event, status: "StatusLine") -> None:
        """Have the status line say what is waited for."""
        if event["parent_run_id"] is not None:
            if word_of(event) not in _TEXTS or "step_id" in event:
                self._show_work(status)
            return
        if "step" in event:
            self._show_work(status)
            return
        match word_of(event):
            case "ModelRequestStarted":
                status.show(event["model"])
            case "ModelRequestError":
                status.show("waiting to ask again")
            case "ToolCallStarted":
                if "child_run_id" not in event["tool"]:
                    self._tools[event["tool"]["tool_call_id"]] = (event["tool"], time.monotonic())
                self._show_work(status)
            case "ToolCallCompleted" | "ToolCallError":
                self._tools.pop(event["tool"]["tool_call_id"], None)
                self._show_work(status)
            case "ModelRequestCompleted":
                status.hide()
            case _:
                pass

    def _show_work(self, status: "StatusLine") -> None:
        """Show what the run's own tools do, and its members."""
        tools = [tool for tool, _ in self._tools.values()]
        members = list(self._at_work.parts())
        if members:
            own = [Part(tool["tool_name"], since) for tool, since in self._tools.values()]
            status.show_all([*own, *members])
            return
        label = ", ".join(tool["tool_name"] for tool in tools)
        if tools:
            since = min(since for _, since in self._tools.values())
            status.show(described(tools[0]) if len(tools) == 1 else label, since)
        else:
            status.hide()

    def _say(self, event: Event) -> None:
        """Tell people what happens beside the answer; of what a member does, whose it is."""
        whose = self._at_work.prefix(event["run_id"])
        match word_of(event):
            case "ModelRequestError":
                wait = f"; asking again in {event['retry_in']:.1f} s"
                output.note(f"{whose}{event['error']['message']}{wait}")
            case "FallbackModelActivated":
                then = f"asking {event['model']} instead"
                output.note(f"{whose}{event['error']['message']}; {then}")
            case "OutputRepairStarted":
                output.note(f"{whose}{event['error']['message']}; asking the model to mend it")
            case _:
                if self._tells:
                    self._tell(event, whose)

    def _tell(self, event: Event, whose: str) -> None:
        """Tell whoever watches what goes on."""
        # What a step's run does is told of the step.
        inside = event["parent_run_id"] is not None and "step_id" not in event
        match word_of(event):
            case _ if "step" in event:
                self._tell_step(event)
            case "ToolCallStarted" | "ToolCallCompleted" | "ToolCallError":
                self._tell_call(event, whose)
            case "RunStarted" if inside and self._status is None:
                output.note(self._at_work.how_it_began(event))
            case "RunCompleted" | "RunPaused" | "RunCancelled" | "RunError" if inside:
                output.note(self._at_work.how_it_ended(event))
            case "TaskIterationStarted":
                left = shorten("; ".join(event["open_tasks"]))
                how_often = f"({event['iteration']} of {event['max_iterations']})"
                output.note(f"{whose}not done: {left}; asking to go on {how_often}")
            case "SessionSummaryStarted":
                output.note("summarizing the conversation")
            case "ModelRequestStarted" if self._verbose:
                output.note(f"{whose}asking {event['model']} (attempt {event['attempt']})")
            case "ModelRequestCompleted" if self._verbose:
                output.note(f"{whose}{event['model']} is done: {event['finish_reason']}")

    def _tell_step(self, event: Event) -> None:
        """Tell of a step that begins, where no status does, or that has ended."""
        if self._at_work.is_late(event) and not self._verbose:
            return
        if event["event"] != "StepStarted":
            if told := self._at_work.how_a_step_ended(event):
                output.note(told)
        elif self._status is None:
            output.note(f"{self._at_work.called(event)} begins")

    def _tell_call(self, event: Event, whose: str) -> None:
        """Tell of a tool call; one that is a member's run is told of as such."""
        if "child_run_id" in event["tool"]:
            return
        if word_of(event) != "ToolCallStarted":
            how = _how_it_went(event, called=self._status is not None)
            output.note(f"{whose}{how}")
        elif self._status is None:
            output.note(f"{whose}calling {described(event['tool'])}")

    def _text(self, delta: str) -> None:
        """Print a piece, but hold newlines back until something follows them."""
        text = self._held + delta
        kept = text.rstrip("\n")
        self._held = text[len(kept) :]
        if kept:
            self.started = True
            output.result(output.shown(kept))

    def _break(self) -> None:
        """End words that were said before a tool call: the answer is still to come."""
        self._end_text()
        self._held = ""
        self._shown = self.started = False

    def end(self) -> None:
        """End what was printed."""
        output.end_question()
        if self._status is not None:
            self._status.end()
        self._end_text()

    def _end_text(self) -> None:
        if self.started:
            output.result("\n")


def described(tool: ToolRecord) -> str:
    """Return a tool call as one would write it, of long arguments the beginning."""
    return f"{tool['tool_name']}({shorten(json.dumps(tool['tool_args'], ensure_ascii=False))})"


def _how_it_went(event: Event, *, called: bool) -> str:
    """Return the end of a tool call; with `called` also what was called."""
    tool = event["tool"]
    said = shorten(" ".join(tool["result"].split()))
    if "decision" in event:
        how = "was rejected" if event["decision"] == "rejected" else "has its result"
        return f"{described(tool)} {how}: {said}"
    how = "failed" if tool["tool_call_error"] else "is done"
    what = described(tool) if called else tool["tool_name"]
    return f"{what} {how} ({tool['duration']:.1f} s): {said}"


class JsonLive:
    """Prints every event as a line of JSON."""

    started = True
    line: RunLine | None = None

    def begin(self, what: str) -> None:
        """Nothing to do: the first event tells."""

    @staticmethod
    def meanwhile(_what: str) -> AbstractContextManager[None]:
        """Nothing to do: there is no event of that."""
        return nullcontext()

    def __call__(self, event: Event) -> None:
        """Take an event; the last one leaves the run's line in `line`."""
        self.line = event.get("run")
        output.record(event)

    def end(self) -> None:
        """Nothing to do: each event ends with its line."""


def say_how_it_ended(line: RunLine, *, repeated: bool) -> None:
    """Tell people, on stderr, of an end that is not a plain answer."""
    if repeated:
        output.note(f"run {line['run_id']} had been made before; nothing was sent")
    for one in line["requirements"]:
        if told := how_time_decided(one):
            output.note(told)
    error = line["error"]
    if error is not None:
        output.note(" ".join(error["message"].split()))
        if error["hint"]:
            output.hint(error["hint"])
    elif line["status"] == "PAUSED":
        _say_what_it_waits_for(line)
    elif line["exit_code"] == 5:
        output.note("the answer was cut off at its longest length (finish_reason length)")
    elif not line["content"]:
        whose = "the last step has" if line["kind"] == "workflow" else "the model"
        output.note(f"{whose} answered nothing")


def _say_what_it_waits_for(line: RunLine) -> None:
    waiting = [one for one in line["requirements"] if one["decision"] is None]
    for one in waiting:
        output.note(f"paused: {what_is_open(one)}")
        if "content" in one:
            output.quote(one["content"])
    if line["seq"] is None:
        output.note("the run was not stored, so nobody can go on with it")
        return
    user = f" -u {shlex.quote(line['user_id'])}" if line["user_id"] != "default" else ""
    output.hint(f"clew continue -s {line['session_id']}{user} {ways(waiting)}")


def say_usage(line: RunLine, color: str) -> None:
    """Tell people what the run used, in one line on stderr."""
    output.note(usage(line["total_metrics"]), color=color)


def usage(metrics: Totals) -> str:
    """Return what something used, for people."""
    about = "about " if metrics["estimated"] else ""
    cost = "cost unknown" if metrics["cost"] is None else f"${metrics['cost']:.6f}"
    if metrics["cost"] is not None and metrics["cost_unknown"]:
        cost += f" and {metrics['cost_unknown']} requests of unknown price"
    return (
        f"{about}{metrics['input_tokens']} tokens in, {metrics['output_tokens']} out, {cost}, "
        f"{metrics['duration']:.1f} s"
    )
