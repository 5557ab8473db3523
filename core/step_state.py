"""The session's state as the steps of a workflow see it, one after the other or at once."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from threading import Lock
from typing import Protocol

from .inside import changes_inside
from .lines import Line, RunLine, State
from .records import StateConflict
from .run_state import RunState
from .session import StateChange, state_draft
from .state import clean_patch, compose, conflicts, merge, only
from .step_tree import is_in
from .store import Flight, SessionLog


class StepState(Protocol):
    """The state for steps that run one after the other."""

    @property
    def current(self) -> State:
        """A copy of the state as it is now."""

    @property
    def seq(self) -> int:
        """The line of the session up to which its changes are in it."""

    def take(self, patch: State) -> None:
        """Take over what a step changed."""

    def branch(self, state: "BranchState") -> None:
        """Begin a branch: what it changes is a part of what is noted, also before it is merged."""

    def note(self) -> None:
        """Note what is not stored yet, with what is not in branches: a killed run has it."""

    def take_branches(self) -> list[StateConflict]:
        """Take over what all branches changed, now that they ended; return what several changed."""

    def publish(self, step: str) -> None:
        """Store what is not stored yet, so that a command, or a run, sees it."""

    def refresh(self, made: RunLine | None = None) -> None:
        """Have what a command, or the run that was `made`, has changed since `publish`."""


class WholeState:
    """The state of the whole run."""

    def __init__(self, state: RunState, log: SessionLog, flight: Flight, run_id: str) -> None:
        self._state = state
        self._log = log
        self._flight = flight
        self._run_id = run_id
        self._branches: list[BranchState] = []
        self._noting = Lock()

    @property
    def current(self) -> State:
        """A copy of the state as it is now."""
        return self._state.current

    @property
    def seq(self) -> int:
        """The line of the session that this is read from."""
        return self._state.seq

    def take(self, patch: State) -> None:
        """Take over what a step changed."""
        if patch:
            before = self.current
            self._state.take(before, merge(before, patch))
            self.note()

    def branch(self, state: "BranchState") -> None:
        """Begin a branch."""
        self._branches.append(state)

    def note(self) -> None:
        """Note what is not stored yet."""
        with self._noting:
            patch = _with_branches(clean_patch(self._state.patch or {}), self._branches)
            self._flight.note({"state_patch": patch or None})

    def take_branches(self) -> list[StateConflict]:
        """Take over what all branches changed."""
        patch, found = merged(self._branches)
        self._branches.clear()
        self.refresh()
        self.take(patch)
        return found

    def publish(self, _step: str) -> None:
        """Store what is not stored yet."""
        if self._state.patch:
            self._state.store(self._log, self._run_id)
            self.note()

    def refresh(self, made: RunLine | None = None) -> None:
        """Read the state again; of a run that is not kept, take what it changed."""
        if made is not None and made["seq"] is None:
            self.take(made["state_patch"] or {})
        else:
            self._state.read(self._log)


class BranchState:
    """The state of one of several steps at once: all begin with the same, each sees what it changes
    itself.

    `where` is the step's id: what commands have stored under it is its own, and `commanded`;
    `patch` is all that it has changed.
    """

    def __init__(self, around: StepState, where: str, log: SessionLog, run_id: str) -> None:
        self._around = around
        self._base = around.current
        self._log = log
        self._run_id = run_id
        self._branches: list[BranchState] = []
        self._unstored: State = {}
        self.where = where
        self.seq = around.seq
        self.patch: State = {}
        self.commanded: State = {}
        around.branch(self)

    @property
    def current(self) -> State:
        """A copy of the state as this step sees it now."""
        return deepcopy(merge(self._base, self.patch))

    @property
    def unstored(self) -> State:
        """What is not stored yet, with what is not in branches of its own."""
        return _with_branches(self._unstored, self._branches)

    def take(self, patch: State) -> None:
        """Take over what a step changed."""
        if patch:
            self.patch = compose(self.patch, patch)
            self._unstored = compose(self._unstored, patch)
            self.note()

    def branch(self, state: "BranchState") -> None:
        """Begin a branch of its own."""
        self._branches.append(state)

    def note(self) -> None:
        """Note what is not stored yet."""
        self._around.note()

    def take_branches(self) -> list[StateConflict]:
        """Take over what all branches changed."""
        patch, found = merged(self._branches)
        for branch in self._branches:
            self.patch = compose(self.patch, branch.patch)
        self._branches = []
        self.refresh()
        self.take(patch)
        return found

    def publish(self, step: str) -> None:
        """Store what is not stored yet, as this step's."""
        if not self._unstored:
            return
        draft = state_draft(
            StateChange(patch=self._unstored),
            by=self._run_id,
            only_if=None,
            create=False,
            step=step,
        )
        line = self._log.append(draft)
        if line is None or line["seq"] is not None:
            self._unstored = {}
            self.note()

    def refresh(self, made: RunLine | None = None) -> None:
        """Have what a command of this step, or the run that was `made`, has changed."""
        if made is not None and made["seq"] is None:
            self.take(made["state_patch"] or {})
            return
        lines = list(self._since())[::-1]
        if not lines:
            return
        self.seq = lines[-1]["seq"] or 0
        if made is not None:
            changes = changes_inside(lines, [made["run_id"]])
            patches = list(changes.values())
        else:
            patches = [clean_patch(patch) for patch in self._own(lines)]
            for patch in patches:
                self.commanded = compose(self.commanded, patch)
        for patch in patches:
            self.patch = compose(self.patch, patch)

    def _since(self) -> Iterator[Line]:
        for line in self._log.newest():
            if (line["seq"] or 0) <= self.seq:
                return
            yield line

    def _own(self, lines: Sequence[Line]) -> Iterator[State]:
        for line in lines:
            if line["type"] != "state" or line["by"] != self._run_id:
                continue
            if line["state_patch"] and is_in(line.get("step", ""), self.where):
                yield line["state_patch"]


def _with_branches(patch: State, branches: Sequence[BranchState]) -> State:
    for branch in branches:
        patch = compose(patch, branch.unstored)
    return patch


def merged(branches: Sequence[BranchState]) -> tuple[State, list[StateConflict]]:
    """Return what of the changes of steps at once is still to be made, and what several of them
    changed.

    There the later one, as they stand, holds; but what only commands have changed they have changed
    one after the other, each with the state before its eyes: that is as it is.
    """
    left: State = {}
    for branch in branches:
        left = compose(left, branch.unstored)
    found: list[StateConflict] = []
    for path, numbers in conflicts([branch.patch for branch in branches], agreeing=True):
        who = [branches[number] for number in numbers]
        found.append({"path": list(path), "steps": [branch.where for branch in who]})
        if not all(_commanded(branch, path) for branch in who):
            for branch in who:
                left = compose(left, only(branch.patch, path))
    return left, found


def _commanded(branch: BranchState, path: Sequence[str]) -> bool:
    """Tell whether what a branch has made of this, a command has."""
    try:
        return only(branch.commanded, path) == only(branch.patch, path)
    except (KeyError, TypeError):
        return False
