"""What a continued session takes over from before."""

from typing import Any

from .chain import follow
from .lines import RunLine
from .session import is_top_run
from .store import SessionLog


def inherited(log: SessionLog, resume: str | None) -> dict[str, Any]:
    """Return what the last run that is COMPLETED or PAUSED hands on: what it ran, model, options.

    Only top-level runs count. A run that is resumed hands on its own. Limits, schema, state, files
    and output are never handed on.
    """
    run = _resumed(log, resume) if resume is not None else _last_good(log)
    if run is None:
        return {}
    options = run.get("options") or {}
    return {
        "model": run["model"],
        "kind": run["kind"],
        "cwd": run["cwd"],
        "agent": options.get(run["kind"]),
        "param": options.get("param"),
        "system": options.get("system"),
        "option": options.get("option"),
        "tool": options.get("tool"),
    }


def left_behind(log: SessionLog) -> RunLine | None:
    """Return the last top-level run of a session in which none hands anything on, if it has one."""
    return next(filter(is_top_run, log.newest()), None) if _last_good(log) is None else None


def _last_good(log: SessionLog) -> RunLine | None:
    for line in log.newest():
        if is_top_run(line) and line["status"] in ("COMPLETED", "PAUSED"):
            return line
    return None


def _resumed(log: SessionLog, run_id: str) -> RunLine | None:
    for flight in log.in_flight():
        if flight.line["run_id"] == run_id:
            return flight.line
    chain = follow(log, run_id)
    return chain.tip if chain else None
