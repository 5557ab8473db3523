"""What a run under way writes down, and the INTERRUPTED line that is made of it if nobody is left.

Notes are plain data, one after the other: the intent (the line as it would be if nothing ever
came), then for each request to a model `{"open": Call}` when it is sent, `{"text": …}` as the
answer comes, `{"call": Call}` when it ended.
"""

from collections.abc import Iterable
from typing import Any, cast

from .errors import ClewError
from .lines import RunLine
from .messages import assistant
from .session import Draft, StateChange
from .usage import Call, estimate_tokens, run_metrics


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
    text: list[str] = []
    calls: list[Call] = []
    pending: Call | None = None
    for note in notes:
        if "open" in note:
            pending = cast(Call, note["open"])
        elif "call" in note:
            calls.append(cast(Call, note["call"]))
            pending = None
        elif "text" in note:
            text.append(str(note["text"]))
    content = "".join(text)
    if pending is not None:
        calls.append(_as_far_as_it_came(pending, content))
    metrics = run_metrics(calls, sum(call["duration"] for call in calls), None)
    line = intent.copy()
    line["content"] = content
    line["messages"] = [*intent["messages"], *([assistant(content)] if content else [])]
    line["metrics"] = metrics
    line["total_metrics"] = without_details(metrics)
    return line


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


def draft_of(line: RunLine) -> Draft:
    """Return the draft that stores this line of a run: the store's own fields are made anew."""
    fields = {k: v for k, v in line.items() if k not in _STORE_FIELDS + _FOLD_FIELDS}
    return Draft("run", fields, StateChange(patch=line["state_patch"]))
