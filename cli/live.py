"""Shows a run while it goes on: text as it streams, or events as lines of JSON; notes on stderr."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from clew.core.events import Event
from clew.core.lines import RunLine, ToolRecord
from clew.core.text import shorten
from clew.core.usage import Totals

from . import output
from .approve import settles, what_is_open

if TYPE_CHECKING:
    from .status import StatusLine


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
        self.line = event.get("run")
        if self._status is not None:
            self._follow(event, self._status)
        match event["event"]:
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
        match event["event"]:
            case "ModelRequestStarted":
                status.show(event["model"])
            case "ModelRequestError":
                status.show("waiting to ask again")
            case "ToolCallStarted":
                self._tools[event["tool"]["tool_call_id"]] = (event["tool"], time.monotonic())
                self._show_tools(status)
            case "ToolCallCompleted" | "ToolCallError":
                self._tools.pop(event["tool"]["tool_call_id"], None)
                self._show_tools(status)
            case "ModelRequestCompleted":
                status.hide()
            case _:
                pass

    def _show_tools(self, status: "StatusLine") -> None:
        tools = [tool for tool, _ in self._tools.values()]
        label = ", ".join(tool["tool_name"] for tool in tools)
        if tools:
            since = min(since for _, since in self._tools.values())
            status.show(described(tools[0]) if len(tools) == 1 else label, since)
        else:
            status.hide()

    def _say(self, event: Event) -> None:
        """Tell people what happens beside the answer."""
        match event["event"]:
            case "ToolCallStarted" if self._tells and self._status is None:
                output.note(f"calling {described(event['tool'])}")
            case "ToolCallCompleted" | "ToolCallError" if self._tells:
                output.note(_how_it_went(event, called=self._status is not None))
            case "SessionSummaryStarted" if self._tells:
                output.note("summarizing the conversation")
            case "ModelRequestError":
                wait = f"; asking again in {event['retry_in']:.1f} s"
                output.note(f"{event['error']['message']}{wait}")
            case "FallbackModelActivated":
                output.note(f"{event['error']['message']}; asking {event['model']} instead")
            case "OutputRepairStarted":
                output.note(f"{event['error']['message']}; asking the model to mend it")
            case "ModelRequestStarted" if self._verbose:
                output.note(f"asking {event['model']} (attempt {event['attempt']})")
            case "ModelRequestCompleted" if self._verbose:
                output.note(f"{event['model']} is done: {event['finish_reason']}")

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
        output.note("the model answered nothing")


def _say_what_it_waits_for(line: RunLine) -> None:
    waiting = [one for one in line["requirements"] if one["decision"] is None]
    for one in waiting:
        output.note(f"paused: {what_is_open(one)}")
    if line["seq"] is None:
        output.note("the run was not stored, so nobody can go on with it")
        return
    user = f" -u {shlex.quote(line['user_id'])}" if line["user_id"] != "default" else ""
    ways = ", ".join(dict.fromkeys(settles(one) for one in waiting))
    output.hint(f"clew continue -s {line['session_id']}{user} {ways}")


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
