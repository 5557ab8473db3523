"""A session's runs as people read them."""

import json

from clew.core.lines import RunLine
from clew.core.records import Requirement, StepRecord
from clew.core.step_tree import CALLED, flat


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
        head = "\n   ".join([head, *(line for one in open_ones for line in _open(one))])
    asked = "\n".join(f"> {line}" for line in run["input"].splitlines() or [""])
    attached = "".join(f"> [{file['name']}]\n" for file in run["files"])
    answer = run["content"].rstrip("\n")
    if run["data"] is not None and run["kind"] != "workflow":
        answer = json.dumps(run["data"], ensure_ascii=False)
    end = f"{answer}\n\n" if answer else "\n"
    return f"{head}\n{asked}\n{attached}{end}"


def _open(requirement: Requirement) -> list[str]:
    """Return what waits for somebody, and what that is about."""
    from .approve import what_is_open

    about = requirement.get("content", "").splitlines()
    return [what_is_open(requirement), *(f"| {line}".rstrip() for line in about)]


def under_way(run: RunLine) -> str:
    """Return a run as far as it came."""
    asked = "\n".join(f"> {line}" for line in run["input"].splitlines() or [""])
    text = f"{run['content']}\n" if run["content"] else ""
    head = f"── running since {run['started_at']} · {_who(run)} · {run['run_id']}{_whose(run)}"
    steps = "".join(f"   at step {step['id']}\n" for step in _at_work(run))
    return f"{head}\n{asked}\n{text}{steps}\n"


def _at_work(run: RunLine) -> list[StepRecord]:
    """Return the steps that began and did not end; not those that only hold others."""
    return [
        step
        for step in flat(run["steps"])
        if step["status"] == "INTERRUPTED" and step["kind"] in CALLED
    ]


def _who(run: RunLine) -> str:
    """Return who answered: the model and, if it was a team's or agent's run, that one's name."""
    model, name = run["model"], run["name"]
    if name is None or run["parent_run_id"] is not None:
        return model or str(name)
    return f"{name} ({model})" if model is not None else name


def _whose(run: RunLine) -> str:
    """Return whose run it is and in which, of one inside another."""
    inside = run["parent_run_id"]
    return f"\n   {run['name']} in run {inside}" if inside is not None else ""
