"""The session's state as a run sees it, and what the run has changed in it so far."""

import copy

from .lines import State
from .session import StateChange, Tip, state_draft, tip_after
from .state import clean_patch, compose, difference, merge, without_nulls
from .store import SessionLog


class RunState:
    """Starts from the stored state and the run's own wish; tools change it as the run goes on."""

    def __init__(self, base: Tip, change: StateChange) -> None:
        self._base = base
        self.change = change

    @property
    def seq(self) -> int:
        """The line of the session that this is read from."""
        return self._base.seq

    @property
    def current(self) -> State:
        """A copy of the state as it is now."""
        patch = self.change.patch_for(self._base)
        return copy.deepcopy(merge(self._base.state, patch) if patch else self._base.state)

    @property
    def patch(self) -> State | None:
        """What is not stored yet, as a merge patch."""
        return self.change.patch_for(self._base)

    def take(self, before: State, after: State) -> None:
        """Take over what a tool made of the state."""
        patch = difference(before, without_nulls(after))
        if not patch:
            return
        if self.change.replacement is not None:
            self.change = StateChange(replacement=merge(self.change.replacement, patch))
        else:
            whole = compose(clean_patch(self.change.patch or {}), patch)
            self.change = StateChange(patch=whole, initial=self.change.initial)

    def store(self, log: SessionLog, run_id: str) -> None:
        """Store what is not stored yet, so that a command sees it."""
        if self.patch:
            line = log.append(state_draft(self.change, by=run_id, only_if=None, create=False))
            if line is not None and line["seq"] is None:
                return  # nothing is kept: the change stays here
            self.read(log)
        self.change = StateChange()

    def read(self, log: SessionLog) -> None:
        """Read the stored state again: a command may have changed it."""
        self._base = tip_after(log.last())
