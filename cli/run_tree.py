"""Who did what: a run, and under it its steps and the runs inside it."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import cast

from clew.core.clock import seconds_since
from clew.core.lines import Line, RunLine
from clew.core.records import StepRecord
from clew.core.text import shorten

_LONGEST = 76


@dataclass(frozen=True)
class Tree:
    """A run without its messages, and those inside it."""

    run: RunLine
    inside: "list[Tree]" = field(default_factory=list)


def trees(newest: Iterable[Line], is_root: Callable[[Line], bool], limit: int | None) -> list[Tree]:
    """Return the newest runs that are roots, newest first, each with all inside it.

    `newest` yields lines from the end, so that a run comes before those inside it, and is read no
    further than needed.
    """
    roots: list[Tree] = []
    known: dict[str, Tree] = {}
    expected: set[str] = set()
    for line in newest:
        full = limit is not None and len(roots) >= limit
        if full and not expected:
            break
        if line["type"] != "run" or line["run_id"] in known:
            continue
        around = known.get(line["parent_run_id"] or "")
        if around is None and (full or not is_root(line)):
            continue
        tree = Tree(_without_messages(line))
        (roots if around is None else around.inside).append(tree)
        known[line["run_id"]] = tree
        expected.discard(line["run_id"])
        expected.update(member["run_id"] for member in line.get("members", []))
    return roots


def _without_messages(run: RunLine) -> RunLine:
    left_out = ("messages", "session_state")
    return cast(RunLine, {key: value for key, value in run.items() if key not in left_out})


@dataclass(frozen=True)
class _Branch:
    """What is drawn on one line, what was said under it, and what hangs there."""

    head: str
    said: list[str]
    inside: "list[_Branch]"


def drawn(tree: Tree, running: Collection[str]) -> str:
    """Return a run, and under it those inside it; `running` are the ids of those under way."""
    run = tree.run
    seq = run["seq"] if run["seq"] is not None else "not stored yet"
    when = run["created_at"].replace("T", " ")[:16]
    branch = _branch(tree, running)
    lines = [f"── {seq} · {when} · {branch.head}", *_below(branch, "   ")]
    return "\n".join(lines) + "\n\n"


def _below(branch: _Branch, lead: str) -> list[str]:
    """Return what is said in something, and what hangs there."""
    lines = [f"{lead}{'│  ' if branch.inside else ''}{each}".rstrip() for each in branch.said]
    for each in branch.inside:
        last = each is branch.inside[-1]
        lines.append(f"{lead}{'└─' if last else '├─'} {each.head}")
        lines += _below(each, lead + ("   " if last else "│  "))
    return lines


def _branch(tree: Tree, running: Collection[str]) -> _Branch:
    """Return a run with its steps, or the runs inside it in the order of the calls for them."""
    run = tree.run
    asked, answer = _first_line(run["input"]), _first_line(run["content"])
    said = [f"> {asked}", *([answer] if answer else [])]
    left = {each.run["run_id"]: each for each in sorted(tree.inside, key=_place_in(run))}
    steps = [_step_branch(step, run, left, running) for step in run["steps"]]
    inside = [_branch(each, running) for each in left.values()]
    return _Branch(_facts(run, running), said, [*steps, *inside])


def _step_branch(
    step: StepRecord, run: RunLine, left: dict[str, Tree], running: Collection[str]
) -> _Branch:
    """Return a step, with what is in it; the run that it made is taken out of those `left`."""
    made = left.pop(step["run_id"] or "", None)
    inside = [_step_branch(each, run, left, running) for each in step["steps"]]
    if made is not None:
        inside += _branch(made, running).inside
    answer = "" if step["steps"] else _first_line(step["content"])
    is_under_way = run["run_id"] in running
    return _Branch(
        _step_facts(step, made, under_way=is_under_way), [answer] if answer else [], inside
    )


def _step_facts(step: StepRecord, made: Tree | None, *, under_way: bool) -> str:
    """Return what a step is called, what it is, how it ended, and what it took and used."""
    error, used = step["error"], step["metrics"]
    status = step["status"] + (f": {shorten(error['message'])}" if error else "")
    running = under_way and step["status"] == "INTERRUPTED"
    took = seconds_since(step["started_at"]) if running else step["duration"]
    chosen = step.get("chosen")
    moved = step.get("moved")
    name = made.run["name"] if made is not None else None
    facts = [
        step["name"],
        step["kind"] if name in (None, step["name"]) else f"{step['kind']} {name}",
        f"→ {', '.join(chosen)}" if chosen else "",
        _counted(step["iterations"], "iteration") if "iterations" in step else "",
        f"{moved['count']} of them are kept beside the session" if moved else "",
        "running" if running else status,
        f"{took:.1f} s",
        f"{used['total_tokens']} tokens" if used is not None else "",
        step["run_id"] or "",
    ]
    return " · ".join(" ".join(fact.split()) for fact in facts if fact)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _place_in(run: RunLine) -> "Callable[[Tree], tuple[int, str]]":
    """Return what tells the place of a run inside this one: its call's, or, of an open call, when
    it began."""
    calls = [record.get("child_run_id") for record in run["tools"]]
    return lambda tree: (
        calls.index(tree.run["run_id"]) if tree.run["run_id"] in calls else len(calls),
        tree.run["started_at"],
    )


def _facts(run: RunLine, running: Collection[str]) -> str:
    """Return whose run it is, how it ended, what it took and used, and its id."""
    error = run["error"]
    status = run["status"] + (f": {shorten(error['message'])}" if error else "")
    used = run["total_metrics"]
    is_running = run["run_id"] in running
    took = seconds_since(run["started_at"]) if is_running else used["duration"]
    facts = [
        run["name"] or str(run["model"]),
        "running" if is_running else status,
        f"{took:.1f} s",
        f"{used['total_tokens']} tokens",
        run["run_id"],
    ]
    return " · ".join(" ".join(fact.split()) for fact in facts)


def _first_line(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return shorten(next(filter(None, lines), ""), _LONGEST)
