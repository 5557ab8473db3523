"""What lasts: the lines of a session file, and the one way to read and to write them.

A line is plain data, described by the types below: reading a session needs no library. `schemas`
makes the published JSON Schema, and the strict check of `verify`, from these same types.
"""

import json
import math
import re
from typing import Any, Literal, NoReturn, NotRequired, cast

from .errors import DamagedError, ErrorRecord
from .line_shapes import what_is_wrong
from .messages import FileRecord, LeftOut, Message
from .records import (
    ForkRecord,
    Kind,
    MemberRecord,
    Requirement,
    StateConflict,
    Status,
    StepRecord,
    ToolRecord,
)
from .text import storable
from .typed import TypedDict
from .usage import RunMetrics, SessionMetrics, Totals

VERSION = 1

State = dict[str, Any]


class HistoryRecord(TypedDict):
    """Which earlier turns of the session were sent to the model."""

    runs: int
    first_seq: int | None
    last_seq: int | None
    left_out: int
    """How many completed turns were not sent."""
    tool_calls_left_out: NotRequired[int]
    """How many calls were left out, with their results, of the turns that were sent."""
    summary_seq: NotRequired[int]
    """The line whose summary was sent; not there if none was."""
    summarized: NotRequired[int]
    """For how many of the turns that were not sent that summary stands."""
    attachments_left_out: NotRequired[list[LeftOut]]


class BaseLine(TypedDict):
    """What every line begins with."""

    v: int
    seq: int | None
    """1, 2, 3 … without gaps; null where the line was printed but not stored."""
    session_id: str
    user_id: str
    created_at: str
    """When the line was written: RFC 3339, UTC, milliseconds."""


class RunLine(BaseLine):
    """One run: a message and its answer, however it ended."""

    type: Literal["run"]
    run_id: str
    parent_run_id: str | None
    root_run_id: str | None
    resumes: str | None
    """The run that this one goes on with."""
    forked_from: ForkRecord | None
    kind: Kind
    name: str | None
    """The name of the definition; null for a plain model."""
    status: Status
    exit_code: int
    started_at: str
    input: str
    files: list[FileRecord]
    content: str
    """The answer, always text."""
    data: Any
    """The answer as an object, when a schema was asked for."""
    finish_reason: str | None
    model: str | None
    """The model that was asked for; null for a workflow of which each step says its own."""
    resolved_model: str | None
    """The model that answered, in the provider's words."""
    messages: list[Message]
    """This run's own messages; what was sent is the system message, the history, then the rest."""
    history: HistoryRecord
    tools: list[ToolRecord]
    """The tool calls that ended in this run, in the order in which the model made them."""
    requirements: list[Requirement]
    """What tool calls needed of somebody, settled or open."""
    steps: list[StepRecord]
    """Of a workflow: its steps, in the order in which they began; those that began."""
    members: NotRequired[list[MemberRecord]]
    """Of a team or a workflow: the runs inside this one, in the order in which they ended."""
    state_conflicts: NotRequired[list[StateConflict]]
    """What members or steps changed at once, and whose change holds."""
    error: ErrorRecord | None
    metrics: RunMetrics
    total_metrics: Totals
    state_patch: State | None
    """What this run changed in the state: a JSON merge patch (RFC 7396)."""
    metadata: dict[str, Any]
    options: dict[str, Any]
    """How the run was asked for: definition, params, system prompt, model options, limits."""
    cwd: str | None
    clew_version: str
    session_state: State
    """The whole state after this line."""
    session_metrics: SessionMetrics


class StateLine(BaseLine):
    """A change of the state from outside a run."""

    type: Literal["state"]
    state_patch: State | None
    state_replaced: bool
    """True where a whole state was put in place of the old one; the patch tells the difference."""
    by: str | None
    """The run that made the change, if one did."""
    step: NotRequired[str]
    """Of a workflow's run: the step that made it, by its id."""
    session_state: State
    session_metrics: SessionMetrics


class RepairRecord(TypedDict):
    """What `clew sessions repair` found."""

    moved: int
    """How many bad lines were moved aside."""
    gaps: list[list[int]]
    """Where lines are missing since: the seq before and after, `[before, after]`."""


class Covered(TypedDict):
    """What a summary stands for."""

    last_seq: int
    """The last run that it covers."""
    turns: int
    """How many completed turns it stands for."""
    left_out: int
    """How many earlier ones are not in it, since they were too many for one request."""


class SessionLine(BaseLine):
    """A change of the session itself; one that a model was asked for has all keys from `summary`
    to `metrics`."""

    type: Literal["session"]
    name: str | None
    """Its new name; null where that did not change."""
    repaired: NotRequired[RepairRecord]
    summary: NotRequired[str | None]
    """The conversation in short; null where no summary was made."""
    covers: NotRequired[Covered | None]
    by: NotRequired[str | None]
    """The run after which it was made; null where somebody asked for it."""
    job_id: NotRequired[str]
    """What the model was asked, for one line: no two lines have the same."""
    error: NotRequired[ErrorRecord | None]
    """Why nothing, or less, came of it."""
    metrics: NotRequired[RunMetrics]
    """What the model used for it."""
    session_state: State
    session_metrics: SessionMetrics


Line = RunLine | StateLine | SessionLine


def encode(line: Line) -> bytes:
    """Return the bytes of a line: ASCII JSON without blanks, and one newline."""
    text = json.dumps(line, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def decode(raw: bytes) -> Line:
    """Return the line that these bytes are; raise DamagedError, with the reason, if they are none.

    Unknown keys and unknown types are kept: what a later version wrote can be read. Half a
    character is read as U+FFFD, as jq does: no model takes it, and no line can carry it on.
    """
    line = whole_characters(_loads(raw), raw)
    if not isinstance(line, dict):
        raise DamagedError("not a JSON object")
    wrong = what_is_wrong(line)
    if wrong:
        raise DamagedError(f"{wrong!r} is missing or wrong")
    return cast(Line, line)


def whole_characters(value: Any, raw: bytes) -> Any:
    """Return the JSON value of these bytes with each half character as U+FFFD."""
    if not _HALF.search(raw):
        return value
    return json.loads(storable(json.dumps(value, ensure_ascii=False)))


def has_half_characters(raw: bytes) -> bool:
    """Tell whether the text of a line has a lone surrogate, which is no text."""
    if not _HALF.search(raw):
        return False
    text = json.dumps(_loads(raw), ensure_ascii=False)
    return storable(text) != text


def _loads(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise DamagedError("nested too deeply") from None
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not JSON: {error}"
        raise DamagedError(reason) from None
    if raw.count(b"{") + raw.count(b"[") > _DEEPEST and _is_too_deep(value):
        raise DamagedError("nested too deeply")
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inner = (list(one.values()) if isinstance(one, dict) else one for one in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number("1e999")


_HALF = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])", re.DOTALL
)
"""Finds every surrogate without its other half, and at times one that has it.

It begins with what every match begins with: so a line of megabytes is searched in milliseconds.
"""
_DEEPEST = 200
"""Levels: what is written has at most half of them, and no reader fails at so many."""
