"""Who did what: a run, and under it the runs inside it."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import cast

from clew.core.lines import Line, RunLine
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


def drawn(tree: Tree, running: Collection[str]) -> str:
    """Return a run, and under it those inside it; `running` are the ids of those under way."""
    run = tree.run
    seq = run["seq"] if run["seq"] is not None else "not stored yet"
    when = run["created_at"].replace("T", " ")[:16]
    lines = [f"── {seq} · {when} · {_facts(run, running)}", *_below(tree, running, "   ")]
    return "\n".join(lines) + "\n\n"


def _below(tree: Tree, running: Collection[str], lead: str) -> list[str]:
    """Return what is said in a run, and the runs inside it in the order of the calls for them."""
    asked, answer = _first_line(tree.run["input"]), _first_line(tree.run["content"])
    said = [f"> {asked}", *([answer] if answer else [])]
    inside = sorted(tree.inside, key=_place_in(tree.run))
    lines = [f"{lead}{'│  ' if inside else ''}{each}".rstrip() for each in said]
    for each in inside:
        last = each is inside[-1]
        lines.append(f"{lead}{'└─' if last else '├─'} {_facts(each.run, running)}")
        lines += _below(each, running, lead + ("   " if last else "│  "))
    return lines


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
    facts = [
        run["name"] or run["model"],
        "running" if run["run_id"] in running else status,
        f"{used['duration']:.1f} s",
        f"{used['total_tokens']} tokens",
        run["run_id"],
    ]
    return " · ".join(" ".join(fact.split()) for fact in facts)


def _first_line(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return shorten(next(filter(None, lines), ""), _LONGEST)
