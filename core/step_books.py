"""The books of a workflow's run: which steps began, and what each has come to."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from .clock import now
from .errors import Cancelled, ClewError, StepFailed
from .events import Announcer, EventName
from .flight import member_of
from .lines import RunLine
from .records import MemberRecord, MovedRecord, StateConflict, StepRecord, StepStatus
from .step_result import StepResult
from .step_tree import FINISHED, flat, forget, is_in, nested
from .store import Flight, SessionLog
from .usage import add_totals

_EVENTS: Mapping[str, tuple[str, str]] = {
    "parallel": ("ParallelExecutionStarted", "ParallelExecutionCompleted"),
    "condition": ("ConditionExecutionStarted", "ConditionExecutionCompleted"),
    "loop": ("LoopExecutionStarted", "LoopExecutionCompleted"),
    "iteration": ("LoopIterationStarted", "LoopIterationCompleted"),
    "router": ("RouterExecutionStarted", "RouterExecutionCompleted"),
    "steps": ("StepsExecutionStarted", "StepsExecutionCompleted"),
}
_ENDS: Mapping[StepStatus, str] = {
    "COMPLETED": "StepCompleted",
    "SKIPPED": "StepSkipped",
    "PAUSED": "StepPaused",
    "CANCELLED": "StepCancelled",
    "ERROR": "StepError",
}


_HELD = ("chosen", "iterations", "moved", "confirmed", "user_input", "under_review")
"""What holds when a step is gone on with."""


class Ended(Exception):
    """The workflow ends here, COMPLETED with this."""

    def __init__(self, result: StepResult) -> None:
        super().__init__(result.name)
        self.result = result


class Waits(Exception):
    """A step waits for somebody."""


class Refused(ClewError):
    """Somebody did not allow a step, and the workflow ends for that."""

    kind = "rejected"


def failure_of(name: str, error: StepFailed) -> StepFailed:
    """Return an error as the workflow tells it: with the name of the part that failed."""
    words = error.message.removeprefix("it failed ")
    told = f"step {name!r} failed{' ' if words != error.message else ': '}{words}"
    return StepFailed(told, hint=error.hint, retryable=error.retryable)


@dataclass
class StepBooks:
    """Holds the records of all steps that began, also of the run that this one goes on with.

    Several threads may write. What is noted is on disk when the next step begins.
    """

    flight: Flight
    announcer: Announcer
    log: SessionLog
    earlier: dict[str, StepRecord] = field(default_factory=dict)
    conflicts: list[StateConflict] = field(default_factory=list)
    unstored: ClewError | None = None
    _inside: list[tuple[int, MemberRecord]] = field(default_factory=list)
    _records: dict[str, StepRecord] = field(default_factory=dict)
    _order: dict[str, None] = field(default_factory=dict)
    _writing: threading.RLock = field(default_factory=threading.RLock)

    def go_on_from(self, steps: Sequence[StepRecord]) -> None:
        """Begin with what another run has come to."""
        self.earlier = {record["id"]: record for record in flat(steps)}
        self._records = dict(self.earlier)
        self._order = dict.fromkeys(self.earlier)

    def finished(self, key: str) -> StepRecord | None:
        """Return what a step had come to before, if it need not run again."""
        record = self.earlier.get(key)
        return record if record is not None and record["status"] in FINISHED else None

    def finished_in(self, key: str) -> Iterator[StepRecord]:
        """Yield what the parts of this one had come to before, in the order of the line."""
        for inner, record in self.earlier.items():
            if inner != key and is_in(inner, key) and record["status"] in FINISHED:
                yield record

    def reserve(self, keys: Sequence[str]) -> None:
        """Have these in this order, whichever of them begins first."""
        with self._writing:
            self._order.update(dict.fromkeys(keys))

    @property
    def members(self) -> list[MemberRecord]:
        """The runs that steps made, in the order of their lines; if none is kept, as they ended."""
        with self._writing:
            return [member for _, member in sorted(self._inside, key=lambda pair: pair[0])]

    @property
    def steps(self) -> list[StepRecord]:
        """The records as the line has them."""
        with self._writing:
            known = {key: self._records[key] for key in self._order if key in self._records}
        return nested(known)

    def record(self, key: str, name: str, kind: str, given: str) -> StepRecord:
        """Return the record of a step that begins; if its process dies, it stays so."""
        before = self.earlier.get(key)
        record: StepRecord = {
            "id": key,
            "name": name,
            "kind": kind,
            "status": "INTERRUPTED",
            "input": given,
            "content": "",
            "data": None,
            "files": [],
            "run_id": before["run_id"] if before else None,
            "attempts": before["attempts"] if before else 0,
            "error": None,
            "started_at": now(),
            "duration": 0.0,
            "metrics": before["metrics"] if before else None,
            "steps": [],
        }
        return cast(StepRecord, {**record, **_decided(before)})

    def note(self, record: StepRecord, *, durably: bool = False, **more: Any) -> None:
        """Write a record down as it is now."""
        with self._writing:
            self._records[record["id"]] = record
            self._order.setdefault(record["id"])
            self.flight.note({"step": record, **more})
            if durably:
                self.flight.sync()

    @contextmanager
    def kept(self, record: StepRecord) -> Iterator[None]:
        """Keep the record of what the block does: it says what that came to, or how it ended."""
        started = time.monotonic()
        try:
            self._tell(record, begins=True)
            yield
        except Ended as end:
            self.come_to(record, end.result)
            raise
        except Waits:
            record["status"] = "PAUSED"
            raise
        except ClewError as error:
            refused = isinstance(error, Refused)
            record["status"] = "CANCELLED" if refused else "ERROR"
            record["error"] = error.record()
            raise
        except (Cancelled, KeyboardInterrupt):
            record["status"] = "CANCELLED"
            raise
        finally:
            record["duration"] = round(record["duration"] + time.monotonic() - started, 3)
            if record["status"] != "INTERRUPTED":
                self.note(record)
                self._tell(record, begins=False)

    def come_to(self, record: StepRecord, result: StepResult) -> None:
        """Put down what a step has come to; its files are kept before that is said anywhere."""
        for file in result.files:
            self.log.attach(file.raw)
        record["status"] = cast(StepStatus, result.status)
        record["content"], record["data"] = result.content, result.data
        record["files"] = [file.record for file in result.files]
        record["error"] = result.error
        if result.stop:
            record["stop"] = True

    def add_run(self, record: StepRecord, line: RunLine) -> None:
        """Put down a run that a step made, as soon as it has its line."""
        totals = line["total_metrics"]
        with self._writing:
            self._inside.append((line["seq"] or 0, member_of(line)))
            self.flight.note({"member": member_of(line), "metrics": totals})
        before = record["metrics"]
        record["metrics"] = totals if before is None else add_totals(before, totals)

    def move(self, loop: StepRecord, iterations: Sequence[str]) -> None:
        """Keep the oldest iterations of a loop beside the session: the line stays bounded."""
        before = loop.get("moved")
        with self._writing:
            gone = [record for key in iterations for record in forget(self._records, key)]
            for key in [key for key in self._order if key not in self._records]:
                del self._order[key]
            content = _as_lines(before, gone)
            self.log.attach(content)
            loop["moved"] = _moved(before, len(gone), content)
            self.note(loop, moved=list(iterations))

    def _tell(self, record: StepRecord, *, begins: bool) -> None:
        kind, status = record["kind"], record["status"]
        started, completed = _EVENTS.get(kind, ("StepStarted", "StepCompleted"))
        ends = completed if status == "COMPLETED" else _ENDS.get(status, completed)
        name = cast(EventName, started if begins else ends)
        told = record.copy()  # who listens in another thread may read it later
        if begins:
            told["status"] = "RUNNING"
        self.announcer.tell({**self.announcer.event(name), "step": told})


def _decided(before: StepRecord | None) -> dict[str, Any]:
    """Return what was decided when the step ran before, and holds when it goes on."""
    if before is None:
        return {}
    held: dict[str, Any] = dict(before)
    return {key: held[key] for key in _HELD if key in held}


def _as_lines(before: MovedRecord | None, records: Sequence[StepRecord]) -> bytes:
    import json

    rows = (json.dumps(row, separators=(",", ":")) for row in (before, *records))
    return "".join(f"{row}\n" for row in rows).encode("ascii")


def _moved(before: MovedRecord | None, more: int, content: bytes) -> MovedRecord:
    from hashlib import sha256

    count = (before["count"] if before else 0) + more
    return {"count": count, "sha256": sha256(content).hexdigest()}
