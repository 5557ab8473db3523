"""Runs that go on with one another: which one is meant, and how it stands by now."""

from dataclasses import dataclass
from typing import Any

from .errors import ConflictError, NotFoundError, UsageError
from .lines import RunLine
from .messages import FileRecord
from .records import ToolRecord
from .session import is_top_run, tip_after
from .store import SessionLog

_DONE = ("COMPLETED", "PAUSED")


@dataclass(frozen=True)
class Chain:
    """A run and the newest of those that went on with it (itself, if none did)."""

    first: RunLine
    tip: RunLine

    @property
    def done(self) -> bool:
        """Whether there is nothing left to go on with."""
        return self.tip["status"] in _DONE


def follow(log: SessionLog, run_id: str, after: int = 0) -> Chain | None:
    """Return the chain that begins with this run, or None if no line after `after` is its."""
    resumed_by: dict[str, RunLine] = {}
    for line in log.newest():
        if (line["seq"] or 0) <= after:
            return None
        if line["type"] != "run":
            continue
        if line["run_id"] == run_id:
            return Chain(line, _tip(line, resumed_by))
        resumed = line.get("resumes")
        if resumed is not None:
            resumed_by.setdefault(resumed, line)
    return None


def _tip(run: RunLine, resumed_by: dict[str, RunLine]) -> RunLine:
    while run["run_id"] in resumed_by:
        run = resumed_by[run["run_id"]]
    return run


def going_on(log: SessionLog, run_id: str) -> Chain:
    """Return the chain of a run to go on with, also of one found dead that has no line yet."""
    for flight in log.in_flight():
        if flight.line["run_id"] == run_id and not flight.running:
            return Chain(flight.line, flight.line)
    chain = follow(log, run_id)
    if chain is None:
        raise NotFoundError(f"session {log.session_id} has no run {run_id!r} to go on with")
    return chain


def unfinished(log: SessionLog) -> RunLine:
    """Return the session's last unfinished run; raise NotFoundError if every run is finished."""
    settled: set[str] = set()
    for line in log.newest():
        if not is_top_run(line):
            continue
        if line["status"] != "COMPLETED" and line["run_id"] not in settled:
            return line
        resumed = line.get("resumes")
        if resumed is not None:
            settled.add(resumed)
    raise NotFoundError(f"session {log.session_id} has no run to go on with")


def resumable(log: SessionLog, run_id: str | None) -> str:
    """Return the id of the run to go on with: the one that is named, else the last unfinished one.

    Raises NotFoundError if there is none, UsageError if the named one is finished.
    """
    dead = [
        flight.line for flight in log.in_flight() if not flight.running and is_top_run(flight.line)
    ]
    if run_id is None:
        return dead[-1]["run_id"] if dead else unfinished(log)["run_id"]
    if any(line["run_id"] == run_id for line in dead):
        return run_id
    chain = follow(log, run_id)
    if chain is None:
        raise NotFoundError(
            f"session {log.session_id} has no run {run_id!r}", hint="`clew history` shows its runs"
        )
    root = chain.first["root_run_id"]
    if root is not None:
        raise UsageError(
            f"run {run_id!r} is a part of run {root!r}", hint=f"go on with that: --resume={root}"
        )
    if chain.first["status"] == "COMPLETED":
        raise UsageError(f"run {run_id!r} is COMPLETED: there is nothing to resume")
    return run_id


def resumed_by(log: SessionLog, run_id: str | None) -> str | None:
    """Return the run that this one, if it was made, goes on with."""
    chain = follow(log, run_id) if run_id is not None else None
    return chain.first["resumes"] if chain is not None else None


def open_pause(log: SessionLog, run_id: str | None) -> str:
    """Return the id of the run to settle: the named one, else the session's latest that is paused.

    Raises NotFoundError if there is none, UsageError if the named run is finished.
    """
    if run_id is not None:
        return resumable(log, run_id)
    paused = tip_after(next(log.newest(), None)).metrics.get("open_pauses")
    if not paused:
        raise NotFoundError(f"session {log.session_id} has no paused run")
    return paused[-1]


def gone_on_with(log: SessionLog, run: RunLine, resume: str | None) -> RunLine | None:
    """Return what `run` goes on with, if that is the run `resume`, or one that went on with it."""
    before = found = _find(log, run["resumes"])
    while found is not None and found["run_id"] != resume:
        found = _find(log, found["resumes"])
    return before if found is not None else None


def calls_before(log: SessionLog, run: RunLine | None) -> list[ToolRecord]:
    """Return the calls that ended in a run and in those that it went on with, oldest first."""
    lines = [] if run is None else [run]
    if run is not None and run["resumes"] is not None:
        for line in log.newest():
            if line["type"] == "run" and line["run_id"] == lines[-1]["resumes"]:
                lines.append(line)
                if line["resumes"] is None:
                    break
    records = (record for line in reversed(lines) for record in line["tools"])
    return [record for record in records if not record.get("unended")]


def _find(log: SessionLog, run_id: str | None) -> RunLine | None:
    chain = follow(log, run_id) if run_id is not None else None
    return chain.first if chain is not None else None


def whole_input(before: RunLine | None, text: str) -> str:
    """Return the input of a run that goes on with the one `before`, if with any."""
    if before is None:
        return text
    return "\n\n".join(filter(None, (before["input"], text)))


def same_question(
    run: RunLine,
    *,
    before: RunLine | None,
    input_text: str,
    files: list[FileRecord],
    what: tuple[Any, ...],
) -> None:
    """Raise ConflictError unless `run` was asked just this: input, files, and what was run.

    `what` is kind, name, definition and params; `before` is what the run was to go on with.
    """
    options = run.get("options") or {}
    kind = run.get("kind", "agent")
    ran = (kind, run.get("name"), options.get(kind), options.get("param"))
    asked = (run["input"], _hashes(run.get("files", [])))
    earlier = [] if before is None else before["files"]
    said = (whole_input(before, input_text), _hashes([*earlier, *files]))
    if (asked, ran) != (said, what):
        raise ConflictError(
            f"run id {run['run_id']!r} is taken by a run with another input",
            hint="choose another --run-id, or repeat the first call exactly",
        )


def _hashes(files: list[FileRecord]) -> list[str]:
    return [item["sha256"] for item in files]
