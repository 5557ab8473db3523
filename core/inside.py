"""Runs inside a run: what a tool gets to know that makes one, and what it leaves behind."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from .approvals import Settlement
from .attachments import Attachment
from .errors import ClewError, LimitReached
from .events import Announcer
from .exchange import Exchange
from .lines import Line, RunLine, State
from .records import InnerRecord, Requirement, ToolRecord
from .state import clean_patch, compose
from .stop import Stop
from .store import SessionLog
from .tools import RunContext


@dataclass(frozen=True)
class Outer:
    """The run around another: its limits hold for both, what both use counts for it, and who stops
    it stops both. `input` is what it was asked."""

    run_id: str
    root_run_id: str
    input: str
    exchange: Exchange
    announcer: Announcer
    stop: Stop
    files: tuple[Attachment, ...] = ()
    """What was sent along with the input."""
    folder: str | None = None
    """Where commands run, if that is not where clew was called."""


@dataclass
class Inside:
    """A run that a call of a tool makes.

    `run_id` is its id, `log` the session as the run around it has it, `state` the session's as it
    begins, `ended` are the calls that had ended before. `resumes` is a run that the same call made
    before and that is to be gone on with, `settled` what was decided about what that one waits for.
    The tool says what goes before the run's input (`preface`), a workflow's step which it is
    (`step`, its id); the run's `line` is here when it has
    ended, however it did, or why it could not be stored (`unstored`), and the `limit` that ended
    it, if that is not its own.
    """

    outer: Outer
    run_id: str
    log: SessionLog
    state: State
    ended: Sequence[ToolRecord] = ()
    resumes: str | None = None
    settled: Mapping[str, Settlement] = field(default_factory=dict)
    preface: str = ""
    step: str | None = None
    line: RunLine | None = None
    unstored: ClewError | None = None
    limit: LimitReached | None = None

    def is_around(self, error: BaseException | None) -> TypeGuard[LimitReached]:
        """Tell whether this is a limit of a run around the one that is made."""
        own = (None, self.run_id)
        return isinstance(error, LimitReached) and error.run_id not in own


@dataclass
class RunInside(RunContext):
    """What a tool knows of its run that makes one inside it."""

    inside: Inside = field(kw_only=True)


@dataclass
class RunBooks(RunContext):
    """What a tool knows that keeps the books of its run: the calls that ended are the books."""

    ended: Sequence[ToolRecord] = field(kw_only=True)


def unended_inside(run: RunLine | None) -> dict[str, str | None]:
    """Return the runs inside this one that are to be gone on with, by the calls that made them.

    They are those that waited for somebody when it paused, and those under way when it ended; None
    stands for one that had not begun.
    """
    if run is None:
        return {}
    left = {
        record["tool_call_id"]: record.get("child_run_id")
        for record in run["tools"]
        if record.get("unended")
    }
    waiting = (one["inside"] for one in run["requirements"] if _waits_inside(one))
    return left | {inside["tool_call_id"]: inside["run_id"] for inside in waiting}


def _waits_inside(one: Requirement) -> bool:
    return one["decision"] is None and "inside" in one


def passed_on(requirement: Requirement, call_id: str, run: RunLine) -> Requirement:
    """Return what a run inside waits for, or was told, as the run around it has it on record.

    `call_id` is the tool call, of the run around, that made the run.
    """
    inner = requirement.get("inside")
    name = "/".join(filter(None, (run["name"], inner["name"] if inner else None)))
    record: InnerRecord = {"name": name, "run_id": run["run_id"], "tool_call_id": call_id}
    return {**requirement, "inside": record}


def changes_inside(lines: Sequence[Line], runs: Collection[str]) -> dict[str, State]:
    """Return what each of these runs changed in the state, with all that was stored on its way.

    `lines` are those that were stored meanwhile, oldest first. A command that a run starts, and a
    run inside it, change the state for it.
    """
    around = {line["run_id"]: line["parent_run_id"] for line in lines if line["type"] == "run"}
    changes: dict[str, State] = {}
    for line in lines:
        if line["type"] == "session" or not line["state_patch"]:
            continue
        who = line["run_id"] if line["type"] == "run" else line["by"]
        while who is not None and who not in runs:
            who = around.get(who)
        if who is not None:
            changes[who] = compose(clean_patch(changes.get(who, {})), line["state_patch"])
    return changes
