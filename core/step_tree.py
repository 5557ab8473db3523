"""The records of a workflow's steps: each by its id while they are made, nested in the line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from .records import StepRecord, StepStatus

FINISHED: tuple[StepStatus, ...] = ("COMPLETED", "SKIPPED")
CALLED = ("agent", "team", "workflow", "command", "function")
"""Kinds of steps that do something; the others hold steps."""


def flat(steps: Iterable[StepRecord]) -> Iterator[StepRecord]:
    """Yield the records one by one, each before those in it, which it no longer has."""
    for record in steps:
        alone = record.copy()
        alone["steps"] = []
        yield alone
        yield from flat(record["steps"])


def nested(records: Mapping[str, StepRecord]) -> list[StepRecord]:
    """Return the records by id as the line has them: each in the one that it stands in."""
    top: list[StepRecord] = []
    whole = {key: _with_own_list(record) for key, record in records.items()}
    for key, record in whole.items():
        around = whole.get(key.rpartition("/")[0])
        (top if around is None else around["steps"]).append(record)
    return top


def _with_own_list(record: StepRecord) -> StepRecord:
    own = record.copy()
    own["steps"] = []
    return own


def is_in(key: str, around: str) -> bool:
    """Tell whether what has this id stands in the other, or is it."""
    return key == around or key.startswith(f"{around}/")


class StepNotes:
    """Follows what a run under way has noted of its steps.

    `{"step": StepRecord}` is noted when a step begins and when it ends; `{"moved": [ids],
    "step": …}` of a loop whose older iterations are kept elsewhere from then on.
    """

    def __init__(self, earlier: Sequence[StepRecord]) -> None:
        self._records = {record["id"]: record for record in flat(earlier)}

    def take(self, note: Mapping[str, Any]) -> None:
        """Take a note."""
        record = cast(StepRecord, note["step"])
        self._records[record["id"]] = record
        for moved in note.get("moved", ()):
            forget(self._records, moved)

    @property
    def steps(self) -> list[StepRecord]:
        """The records as the line of the dead run has them."""
        return nested(self._records)


def forget(records: dict[str, StepRecord], around: str) -> list[StepRecord]:
    """Take out what stands in this, and itself; return it, nested."""
    gone = {key: records.pop(key) for key in [key for key in records if is_in(key, around)]}
    return nested(gone)


def left_by(steps: Iterable[StepRecord]) -> Iterator[tuple[str, str]]:
    """Yield what steps have left beside the session: its sha256, and what it is called."""
    for record in flat(steps):
        yield from ((file["sha256"], file["name"]) for file in record["files"])
        if "moved" in record:
            yield record["moved"]["sha256"], f"iterations of {record['name']}"
