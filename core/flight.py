"""What a run under way writes down, and the INTERRUPTED line that is made of it if nobody is left.

Notes are plain data, one after the other: the intent (the line as it would be if nothing ever
came), then for each request to a model `{"open": Call}` when it is sent, `{"text": …}` as the
answer comes, `{"call": Call}` when it ended, and `{"message": Message}` if it calls tools, or is to
be mended (another one asks for that); for each tool call `{"begun": ToolRecord}` before it is made
(only its ids, as the run begins, where it made a run before that is gone on with) and
`{"tool": ToolRecord}` when it ended; `{"requirement": Requirement}` when somebody decided, and
`{"state_patch": …}` for what the run has changed in the state and not stored yet. `{"member":
MemberRecord, "metrics": Totals}` tells of a run inside this one that has its line, `{"step":
StepRecord}` of a workflow's step that begins or has ended (see `step_tree`). `{"process":
Process}` says who can be told to stop.

What a model is asked about a session, outside of a run, is written down in the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from .errors import ClewError
from .lines import Line, RunLine, SessionLine
from .messages import Message, ToolCall, assistant, in_call_order, open_calls, tool_result
from .records import MemberRecord, Requirement, ToolRecord
from .session import Draft, StateChange
from .step_tree import StepNotes
from .usage import Call, Totals, add_totals, estimate_tokens, no_totals, run_metrics


class Interrupted(ClewError):
    """The process died before the run ended."""

    kind = "interrupted"
    retryable = True


def interruption() -> Interrupted:
    """Return the error that stands in an INTERRUPTED line."""
    return Interrupted(
        "the process died before the run ended", hint="`clew continue --resume` goes on with it"
    )


def interrupted_line(intent: RunLine, notes: Iterable[dict[str, Any]]) -> RunLine:
    """Return the line of a run that died after these notes: everything that came is in it."""
    died = _Died(intent)
    for note in notes:
        died.take(note)
    return died.line()


def interrupted_job(intent: SessionLine, notes: Iterable[dict[str, Any]]) -> SessionLine | None:
    """Return the line of a job that died after these notes; None if no model had been asked."""
    calls: list[Call] = []
    pending: Call | None = None
    text = ""
    for note in notes:
        if "open" in note:
            pending, text = cast(Call, note["open"]), ""
        elif "text" in note:
            text += str(note["text"])
        elif "call" in note:
            calls.append(cast(Call, note["call"]))
            pending = None
    if pending is not None:
        calls.append(_as_far_as_it_came(pending, text))
    line = intent.copy()
    line["metrics"] = run_metrics(calls, sum(call["duration"] for call in calls), None)
    return line if calls else None


class _Died:
    """Follows the notes of a run, to the last one."""

    def __init__(self, intent: RunLine) -> None:
        self._intent = intent
        self._messages = list(intent["messages"])
        self._text: list[str] = []
        self._unmended = ""
        self._calls: list[Call] = []
        self._pending: Call | None = None
        self._begun: dict[str, str | None] = {}
        self._done: dict[str, ToolRecord] = {}
        self._tools: list[ToolRecord] = []
        self._requirements = {one["tool_call_id"]: one for one in intent["requirements"]}
        self._steps = StepNotes(intent["steps"])
        self._patch = intent["state_patch"]
        self._members: list[MemberRecord] = []
        self._inside = no_totals()

    def take(self, note: dict[str, Any]) -> None:
        if "open" in note:
            self._pending = cast(Call, note["open"])
            self._answer()
        elif "call" in note:
            self._calls.append(cast(Call, note["call"]))
            self._pending = None
        elif "text" in note:
            self._text.append(str(note["text"]))
        elif "message" in note:
            self._say(cast(Message, note["message"]))
        elif "begun" in note:
            begun = cast(ToolRecord, note["begun"])
            self._begun[begun["tool_call_id"]] = begun.get("child_run_id")
        elif "tool" in note:
            record = cast(ToolRecord, note["tool"])
            self._done[record["tool_call_id"]] = record
        elif "requirement" in note:
            decided = cast(Requirement, note["requirement"])
            self._requirements[decided["tool_call_id"]] = decided
        elif "state_patch" in note:
            self._patch = note["state_patch"]
        else:
            self._take_inside(note)

    def _take_inside(self, note: dict[str, Any]) -> None:
        if "step" in note:
            self._steps.take(note)
        elif "member" in note:
            self._members.append(cast(MemberRecord, note["member"]))
            self._inside = add_totals(self._inside, cast(Totals, note["metrics"]))

    def _say(self, message: Message) -> None:
        self._messages.append(message)
        self._text.clear()
        if message["role"] == "assistant" and not message.get("tool_calls"):
            self._unmended = message["content"]

    def _answer(self) -> None:
        """Give each open call its result, or the reason why it has none."""
        for call in open_calls(self._messages):
            record = self._done.get(call["id"]) or unended(call, self._begun, "the process died")
            self._tools.append(record)
            self._messages.append(tool_result(record["tool_call_id"], record["result"]))

    def line(self) -> RunLine:
        self._answer()
        content = "".join(self._text)
        calls = list(self._calls)
        if self._pending is not None:
            calls.append(_as_far_as_it_came(self._pending, content))
        metrics = run_metrics(calls, sum(call["duration"] for call in calls), None)
        line = self._intent.copy()
        line["content"] = content or self._unmended
        said = [*self._messages, *([assistant(content)] if content else [])]
        line["messages"] = in_call_order(said)
        line["tools"] = self._tools
        line["requirements"] = list(self._requirements.values())
        line["steps"] = self._steps.steps
        line["state_patch"] = self._patch
        line["metrics"] = metrics
        inside = {**self._inside, "duration": 0.0}
        line["total_metrics"] = add_totals(without_details(metrics), cast(Totals, inside))
        if "members" in line:
            line["members"] = self._members
        return line


def unended(call: ToolCall, begun: Mapping[str, str | None], why: str) -> ToolRecord:
    """Return the record of a call without a result: a provider takes no request without one.

    `begun` are the calls that began, each with the run that it makes, if it makes one.
    """
    from .tools import RUN_TOOLS, readable_arguments  # reading a session needs none of it

    child = begun.get(call["id"])
    if child is not None:
        told = f"{why} before this one had ended"
    elif call["id"] in begun:
        told = f"{why} while this tool ran: it may have done its work, and was not called again"
    else:
        told = f"{why} before this tool was called"
    record: ToolRecord = {
        "tool_call_id": call["id"],
        "tool_name": call["function"]["name"],
        "tool_args": readable_arguments(call),
        "result": told,
        "tool_call_error": True,
        "duration": 0.0,
    }
    if child is not None:
        return {**record, "child_run_id": child, "unended": True}
    is_to_come = call["id"] not in begun and call["function"]["name"] in RUN_TOOLS
    return {**record, "unended": True} if is_to_come else record


def member_of(line: RunLine) -> MemberRecord:
    """Return a run as the run around it lists it."""
    return {
        "name": line["name"],
        "kind": line["kind"],
        "run_id": line["run_id"],
        "status": line["status"],
    }


def inside_first(lines: Sequence[RunLine]) -> list[RunLine]:
    """Return the lines of dead runs in the order in which they are stored: as if they had ended."""
    ordered: list[RunLine] = []

    def put(line: RunLine) -> None:
        for inner in lines:
            if inner["parent_run_id"] == line["run_id"]:
                put(inner)
        ordered.append(line)

    known = {line["run_id"] for line in lines}
    for line in lines:
        if line["parent_run_id"] not in known:
            put(line)
    # Of records that somebody altered, runs may each be in the other: none is left out.
    return [*ordered, *(line for line in lines if line not in ordered)]


def with_all_inside(line: RunLine, stored: Iterable[RunLine]) -> RunLine:
    """Return the line of a dead run with the runs inside it in the order of their lines.

    `stored` has them all, oldest first: the dead run has noted none that died with it, nor one that
    ended just before.
    """
    if "members" not in line:
        return line
    inside = [each for each in stored if each["parent_run_id"] == line["run_id"]]
    listed = {member["run_id"] for member in line["members"]}
    whole, totals = line.copy(), line["total_metrics"]
    for each in inside:
        if each["run_id"] not in listed:
            totals = add_totals(totals, {**each["total_metrics"], "duration": 0.0})
    whole["total_metrics"] = totals
    found = {each["run_id"] for each in inside}
    lost = [member for member in line["members"] if member["run_id"] not in found]
    whole["members"] = [*lost, *map(member_of, inside)]
    return whole


def _as_far_as_it_came(call: Call, text: str) -> Call:
    out = estimate_tokens(text)
    return {
        **call,
        "output_tokens": out,
        "total_tokens": call["input_tokens"] + out,
        "estimated": True,
        "error": "interrupted",
    }


def without_details(metrics: Any) -> Any:
    """Return a run's metrics as `total_metrics` carries them."""
    return {k: v for k, v in metrics.items() if k not in ("details", "time_to_first_token")}


_STORE_FIELDS = ("v", "type", "seq", "session_id", "user_id", "created_at")
_FOLD_FIELDS = ("session_state", "session_metrics")


def draft_of(line: Line) -> Draft:
    """Return the draft that stores this line: the store's own fields are made anew."""
    fields = {k: v for k, v in line.items() if k not in _STORE_FIELDS + _FOLD_FIELDS}
    patch = None if line["type"] == "session" else line["state_patch"]
    return Draft(line["type"], fields, StateChange(patch=patch))
