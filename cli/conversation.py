"""A session's runs as people read them."""

import json

from clew.core.lines import RunLine

from .approve import what_is_open


def for_people(run: RunLine, *, waits: bool) -> str:
    """Return a run as a part of its conversation; `waits`: nobody has gone on with it."""
    seq = run["seq"] if run["seq"] is not None else "not stored yet"
    when = run["created_at"].replace("T", " ")[:16]
    head = f"── {seq} · {when} · {_who(run)} · {run['run_id']}{_whose(run)}"
    error = run["error"]
    if run["status"] != "COMPLETED":
        reason = f": {error['message']}" if error else ""
        head = f"{head}\n   {run['status']}{reason}"
    if run["status"] == "PAUSED" and waits:
        open_ones = (one for one in run["requirements"] if one["decision"] is None)
        head = "\n   ".join([head, *map(what_is_open, open_ones)])
    asked = "\n".join(f"> {line}" for line in run["input"].splitlines() or [""])
    attached = "".join(f"> [{file['name']}]\n" for file in run["files"])
    answer = run["content"].rstrip("\n")
    if run["data"] is not None:
        answer = json.dumps(run["data"], ensure_ascii=False)
    end = f"{answer}\n\n" if answer else "\n"
    return f"{head}\n{asked}\n{attached}{end}"


def under_way(run: RunLine) -> str:
    """Return a run as far as it came."""
    asked = "\n".join(f"> {line}" for line in run["input"].splitlines() or [""])
    text = f"{run['content']}\n" if run["content"] else ""
    head = f"── running since {run['started_at']} · {_who(run)} · {run['run_id']}{_whose(run)}"
    return f"{head}\n{asked}\n{text}\n"


def _who(run: RunLine) -> str:
    """Return who answered: the model and, if it was a team's or agent's run, that one's name."""
    is_named = run["name"] is not None and run["parent_run_id"] is None
    return f"{run['name']} ({run['model']})" if is_named else run["model"]


def _whose(run: RunLine) -> str:
    """Return whose run it is and in which, of one inside another."""
    inside = run["parent_run_id"]
    return f"\n   {run['name']} in run {inside}" if inside is not None else ""
