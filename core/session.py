"""A session is the fold over its lines; a new line carries the fold's result.

Everything here is pure: no files, no clock, no model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard, cast

from .errors import ConflictError
from .lines import VERSION, Line, RepairRecord, RunLine, State
from .state import clean_patch, compose, difference, merge, same, without_nulls
from .usage import SessionMetrics, add_totals, no_session_metrics


class Tip:
    """Where a session stands: what the next line builds on."""

    def __init__(
        self, seq: int = 0, state: State | None = None, metrics: SessionMetrics | None = None
    ) -> None:
        self.seq = seq
        self.state: State = {} if state is None else state
        self.metrics = no_session_metrics() if metrics is None else metrics

    @property
    def begins(self) -> bool:
        """Whether there is no run yet, nor any state; a name there may be."""
        return not self.state and not self.metrics.get("runs")


def tip_after(line: Line | None) -> Tip:
    """Return where a session stands after this line, its last one."""
    if line is None:
        return Tip()
    return Tip(line["seq"] or 0, line["session_state"], line["session_metrics"])


class StateChange(NamedTuple):
    """A wish to change the state: a merge patch, or a whole state in place of the old one.

    `initial` lies below the patch where the session begins; later it counts no more.
    """

    patch: State | None = None
    replacement: State | None = None
    initial: State | None = None

    def patch_for(self, tip: Tip) -> State | None:
        """Return the merge patch that grants the wish at `tip`; None if there is none."""
        if self.replacement is not None:
            return difference(tip.state, without_nulls(self.replacement)) or None
        patch = clean_patch(self.patch) if self.patch else {}
        if self.initial and tip.begins:
            patch = compose(without_nulls(self.initial), patch)
        return patch or None


class Draft(NamedTuple):
    """A line without what only the store knows: seq, time, and the session's state after it."""

    type: str
    fields: dict[str, Any]
    change: StateChange = StateChange()


Drafter = Callable[[Tip], Draft | None]
"""Makes the draft in view of where the session stands; None writes nothing."""


def seal(draft: Draft, tip: Tip, *, session_id: str, user_id: str, created_at: str) -> Line:
    """Return the line that `draft` becomes after `tip`. Its key order is the format's."""
    fields = dict(draft.fields)
    patch = draft.change.patch_for(tip)
    state = merge(tip.state, patch) if patch else tip.state
    if "state_patch" in fields:
        fields["state_patch"] = patch
    line = {
        "v": VERSION,
        "type": draft.type,
        "seq": tip.seq + 1,
        "session_id": session_id,
        "user_id": user_id,
        "created_at": created_at,
        **fields,
        "session_state": state,
        "session_metrics": _metrics_after(tip, draft.type, draft.fields),
    }
    return cast(Line, line)


def fold(tip: Tip, line: Line) -> Tip:
    """Return where a session stands after `line`, counted from where it stood before.

    What the line itself says of that is not looked at: `verify` compares the two.
    """
    patch = None if line["type"] == "session" else line["state_patch"]
    state = merge(tip.state, patch) if patch else tip.state
    fields = cast(dict[str, Any], line)
    return Tip(tip.seq + 1, state, _metrics_after(tip, line["type"], fields))


def _metrics_after(tip: Tip, kind: str, fields: dict[str, Any]) -> SessionMetrics:
    if kind not in ("run", "session") or "metrics" not in fields:
        return tip.metrics
    known = no_session_metrics() | tip.metrics
    used = fields["metrics"]
    if fields.get("parent_run_id") is not None:
        used = {**used, "duration": 0.0}  # the run around it took that time, too
    after = known | cast(SessionMetrics, add_totals(known, used))
    if kind == "session":
        if fields.get("summary") is not None:
            after["summary_seq"] = tip.seq + 1
        return after
    run = cast(RunLine, fields)
    if run["parent_run_id"] is None:
        after["runs"] += 1
        after["turns"] += run["status"] == "COMPLETED"
        _count_pauses(after, run)
    return after


def _count_pauses(metrics: SessionMetrics, run: RunLine) -> None:
    """Have `open_pauses` as it is after this run."""
    paused = [run_id for run_id in metrics.pop("open_pauses", []) if run_id != run["resumes"]]
    if run["status"] == "PAUSED":
        paused.append(run["run_id"])
    if paused:
        metrics["open_pauses"] = paused


def state_draft(
    change: StateChange | Callable[[State], State],
    *,
    by: str | None,
    only_if: int | None,
    create: bool,
    step: str | None = None,
) -> Drafter:
    """Return what makes a state line: `change` a wish, or a function from the old state to the new.

    `by` is the run that makes the change, `step` its step, if it is a workflow's.
    Nothing is written when nothing changes, unless the line is to `create` the session. `only_if`
    is the seq that the session must stand at; otherwise ConflictError.
    """

    def draft(tip: Tip) -> Draft | None:
        if only_if is not None and tip.seq != only_if:
            raise ConflictError(
                f"the session is at seq {tip.seq}, not {only_if}",
                hint="read the state again and repeat the change",
            )
        wish = (
            change
            if isinstance(change, StateChange)
            else StateChange(replacement=change(tip.state))
        )
        patch = wish.patch_for(tip)
        if (not patch or same(merge(tip.state, patch), tip.state)) and not (
            create and tip.seq == 0
        ):
            return None
        replaced = isinstance(change, StateChange) and change.replacement is not None
        fields = {"state_patch": None, "state_replaced": replaced, "by": by}
        fields |= {"step": step} if step is not None else {}
        return Draft("state", fields, wish)

    return draft


def always(draft: Draft) -> Drafter:
    """Return what makes this draft, wherever the session stands."""
    return lambda _tip: draft


def name_draft(name: str) -> Drafter:
    """Return what makes the line that names a session."""
    return always(Draft("session", {"name": name}))


def repair_draft(repaired: RepairRecord) -> Draft:
    """Return the line that tells of a repair."""
    return Draft("session", {"name": None, "repaired": repaired})


def is_turn(line: Line) -> TypeGuard[RunLine]:
    """Tell whether history may send this line: a top-level run that is COMPLETED."""
    return is_top_run(line) and line["status"] == "COMPLETED"


def is_turn_of_member(line: Line, name: str) -> TypeGuard[RunLine]:
    """Tell whether the history of a team's member of this name may send this line."""
    if line["type"] != "run" or line.get("parent_run_id") is None:
        return False
    return line["name"] == name and line["status"] == "COMPLETED"


def is_top_run(line: Line) -> TypeGuard[RunLine]:
    """Tell whether this line is a run that somebody asked for, not a member's or step's."""
    return line["type"] == "run" and line.get("parent_run_id") is None
