"""What is read of a line without asking; the rest may be anything."""

from typing import Any

from .shapes import fitting, members

_NULL = type(None)
_USED = {
    "input_tokens": int,
    "output_tokens": int,
    "total_tokens": int,
    "cache_read_tokens": int,
    "cache_write_tokens": int,
    "reasoning_tokens": int,
    "cost": (float, int, _NULL),
    "duration": (float, int),
    "estimated": bool,
}
_TOTALS = {**_USED, "cost_unknown": int, "requests": int}
_METRICS = {**_TOTALS, "details": [{**_USED, "model": str}]}
_ERROR = {"kind": str, "message": str, "hint": (str, _NULL), "exit_code": int}


def _is_step(value: Any) -> bool:
    return _is_step_record(value)


_STEP = {
    "id": str,
    "name": str,
    "kind": str,
    "status": str,
    "input": str,
    "content": str,
    "files": [{"name": str, "mime": str, "bytes": int, "sha256": str}],
    "run_id": (str, _NULL),
    "attempts": int,
    "error": (_NULL, _ERROR),
    "started_at": str,
    "duration": (float, int),
    "metrics": (_NULL, _TOTALS),
    "steps": [_is_step],
    "chosen?": [str],
    "user_input?": dict,
    "iterations?": int,
    "moved?": {"count": int, "sha256": str},
}
_is_step_record = fitting(_STEP)
_wrong_in_line = members(
    {
        "v": int,
        "type": str,
        "seq": int,
        "session_id": str,
        "user_id": str,
        "created_at": str,
        "session_state": dict,
        "session_metrics": {
            **_TOTALS,
            "runs": int,
            "turns": int,
            "summary_seq?": int,
            "open_pauses?": [str],
        },
    }
)
_wrong_in_run = members(
    {
        "run_id": str,
        "parent_run_id": (str, _NULL),
        "root_run_id": (str, _NULL),
        "resumes": (str, _NULL),
        "kind": str,
        "name": (str, _NULL),
        "status": str,
        "exit_code": int,
        "started_at": str,
        "input": str,
        "files": [{"name": str, "sha256": str}],
        "content": str,
        "model": (str, _NULL),
        "messages": [
            {
                "role": str,
                "content": str,
                "tool_calls?": [{"id": str, "function": {"name": str, "arguments": str}}],
                "tool_call_id?": str,
                "attachments?": [{"name": str, "mime": str, "bytes": int, "sha256": str}],
            }
        ],
        "history": {
            "first_seq": (int, _NULL),
            "last_seq": (int, _NULL),
            "left_out": int,
            "tool_calls_left_out?": int,
            "attachments_left_out?": [{"name": str, "sha256": str, "reason": str}],
        },
        "error": (_NULL, _ERROR),
        "data": object,
        "finish_reason": (str, _NULL),
        "tools": [
            {
                "tool_call_id": str,
                "tool_name": str,
                "tool_args": dict,
                "result": str,
                "tool_call_error": bool,
                "child_run_id?": str,
                "unended?": bool,
            }
        ],
        "requirements": [
            {
                "tool_call_id": str,
                "kind": str,
                "tool_name": str,
                "tool_args": dict,
                "fields": [{"name": str}],
                "decision": (str, _NULL),
                "inside?": {"name": str, "run_id": str, "tool_call_id": str},
            }
        ],
        "steps": [_STEP],
        "members?": [{"name": (str, _NULL), "kind": str, "run_id": str, "status": str}],
        "metrics": _METRICS,
        "total_metrics": _TOTALS,
        "options": {
            "agent?": (str, _NULL),
            "team?": (str, _NULL),
            "workflow?": (str, _NULL),
            "param?": (dict, _NULL),
            "system?": (str, _NULL),
            "option?": (dict, _NULL),
            "tool?": ([str], _NULL),
        },
    }
)
_wrong_in_session = members(
    {
        "summary?": (str, _NULL),
        "covers?": (_NULL, {"last_seq": int, "turns": int, "left_out": int}),
        "by?": (str, _NULL),
        "job_id?": str,
        "metrics?": _METRICS,
    }
)
_wrong_in_state = members({"by": (str, _NULL), "step?": str})
_wrong_in_type = {"run": _wrong_in_run, "session": _wrong_in_session, "state": _wrong_in_state}


def what_is_wrong(line: dict[str, Any]) -> str | None:
    """Return the name of the first key that is missing or wrong; None if none is."""
    return _wrong_in_line(line) or _wrong_in_type.get(line["type"], _nothing_wrong)(line)


def _nothing_wrong(_line: dict[str, Any]) -> None:
    """Return None: the line is of a type without more that is read."""
