"""Tool calls that are made: those of one answer all at once, each noted as it begins and ends."""

import copy
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from .approvals import Settlement
from .clock import new_run_id
from .errors import ClewError
from .events import Event, EventName
from .flight import member_of, unended
from .inside import Inside, Outer, RunBooks, RunInside, changes_inside, passed_on
from .lines import RunLine, State
from .messages import ToolCall
from .records import Decision, MemberRecord, Requirement, StateConflict, ToolRecord
from .run_state import RunState
from .session import StateChange
from .state import conflicts, merge_all, only, storable_value
from .store import Flight, SessionLog
from .text import storable
from .tools import BookTool, RunContext, RunTool, Tool, ToolError, check_arguments

_AT_ONCE = 8
_LOOK_SECONDS = 0.5
_LOOK_INSIDE_SECONDS = 0.1
_GRACE_SECONDS = 10.0
"""For runs inside this one to be stored when all is stopped."""


@dataclass(frozen=True)
class Ready:
    """A tool call that can be made."""

    call: ToolCall
    tool: Tool
    arguments: dict[str, Any]


@dataclass
class ToolRound:
    """Makes calls; holds which began, how each ended, and what came of runs inside this one.

    `resumes` are the runs that calls made before, by the ids of the calls; `earlier` are calls that
    ended in the runs that this one goes on with. A run inside that waits for somebody ends no call.
    """

    log: SessionLog
    flight: Flight
    outer: Outer
    state: RunState
    context: RunContext
    resumes: Mapping[str, str | None] = field(default_factory=dict)
    earlier: Sequence[ToolRecord] = ()
    begun: dict[str, str | None] = field(default_factory=dict)
    done: dict[str, ToolRecord] = field(default_factory=dict)
    inside: list[RunLine] = field(default_factory=list)
    conflicts: list[StateConflict] = field(default_factory=list)
    _lines: dict[str, RunLine] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _made: list[Inside] = field(default_factory=list)

    def __post_init__(self) -> None:
        for call, run in self.resumes.items():
            if run is not None:
                self.begun[call] = run
                self.flight.note({"begun": {"tool_call_id": call, "child_run_id": run}})

    def make(
        self, ready: Sequence[Ready], settled: Mapping[str, Mapping[str, Settlement]]
    ) -> tuple[dict[str, ToolRecord], list[Requirement]]:
        """Make the calls; return how each ended, and what runs inside wait for, or were told.

        `settled` is what was decided about runs inside this one, by the calls that made them.
        """
        books = [made for made in ready if isinstance(made.tool, BookTool)]
        written = {made.call["id"]: self._write_down(made) for made in books}
        others = [made for made in ready if made.call["id"] not in written]
        ended, inside = self._make_at_once(others, settled) if others else ({}, [])
        return written | ended, inside

    def _write_down(self, made: Ready) -> ToolRecord:
        context = RunBooks(**vars(self.context), ended=self.ended)
        self._begin(made, context)
        record = _call(made, context)
        self.end(record)
        return record

    @property
    def ended(self) -> Sequence[ToolRecord]:
        """The calls that have ended, also in the runs that this one goes on with."""
        return (*self.earlier, *self.done.values())

    def _make_at_once(
        self, ready: Sequence[Ready], settled: Mapping[str, Mapping[str, Settlement]]
    ) -> tuple[dict[str, ToolRecord], list[Requirement]]:
        outside = any(made.tool.reads_session for made in ready)
        if outside:
            self.state.store(self.log, self.context.run_id)
            self.flight.note({"state_patch": self.state.patch})
        contexts = {made.call["id"]: self._context(made, settled) for made in ready}
        for made in ready:
            self._begin(made, contexts[made.call["id"]])
        self.flight.sync()
        after = self.state.seq
        ended = self._together(ready, contexts)
        if outside:
            self.state.read(self.log)
        made_inside = {
            call: line for call, context in contexts.items() if (line := _line(context)) is not None
        }
        self._lines |= made_inside
        self._take_inside(list(made_inside.values()), after)
        self.flight.note({"state_patch": self.state.patch})
        self.flight.sync()
        return ended, self._waiting(contexts)

    @property
    def members(self) -> list[MemberRecord]:
        """The runs inside this one in the order of their lines; if none is kept, as they ended."""
        return [member_of(line) for line in sorted(self.inside, key=lambda line: line["seq"] or 0)]

    @property
    def unstored(self) -> ClewError | None:
        """Why a run inside this one could not be stored, if one could not."""
        return next((each.unstored for each in self._made if each.unstored), None)

    def line_of(self, call_id: str) -> RunLine | None:
        """Return the run that this call made, if it made one."""
        return self._lines.get(call_id)

    def end(self, record: ToolRecord, decision: Decision | None = None) -> None:
        """Note and tell how a call ended; of one that was not made, what was decided."""
        self.done[record["tool_call_id"]] = record
        self.flight.note({"tool": record})
        name: EventName = "ToolCallError" if record["tool_call_error"] else "ToolCallCompleted"
        event: Event = {**self.outer.announcer.event(name), "tool": record}
        self.outer.announcer.tell({**event, "decision": decision} if decision else event)

    def unended(self, call: ToolCall) -> ToolRecord:
        """Return the record of a call that has no result when the run ends."""
        record = unended(call, self.begun, "the run ended")
        if call["id"] in self._started:
            record["duration"] = round(time.monotonic() - self._started[call["id"]], 3)
        return record

    def _context(self, made: Ready, settled: Mapping[str, Mapping[str, Settlement]]) -> RunContext:
        state, call = self.state.current, made.call["id"]
        seconds = self.outer.exchange.seconds_left
        context = replace(self.context, session_state=copy.deepcopy(state), seconds=seconds)
        if not isinstance(made.tool, RunTool):
            return context
        inside = Inside(
            self.outer,
            new_run_id(),
            self.log,
            state,
            ended=self.ended,
            resumes=self.resumes.get(call),
            settled=settled.get(call, {}),
        )
        self._made.append(inside)
        return RunInside(**vars(context), inside=inside)

    def _begin(self, made: Ready, context: RunContext) -> None:
        record = record_of(made.call, made.arguments, "")
        child = context.inside.run_id if isinstance(context, RunInside) else None
        if child is not None:
            record["child_run_id"] = child
        if self.resumes.get(made.call["id"]) is None:  # else that run leads to this one
            self.begun[made.call["id"]] = child
            self.flight.note({"begun": record})
        self._started[made.call["id"]] = time.monotonic()
        announcer = self.outer.announcer
        announcer.tell({**announcer.event("ToolCallStarted"), "tool": record})

    def _together(
        self, ready: Sequence[Ready], contexts: Mapping[str, RunContext]
    ) -> dict[str, ToolRecord]:
        before, change = self.state.current, self.state.change
        pool = ThreadPoolExecutor(max_workers=max(_AT_ONCE, _runs_among(ready)))
        ended: dict[str, ToolRecord] = {}
        left: set[Future[ToolRecord]] = set()
        under = self.outer.exchange.outer is not None
        try:
            left = {pool.submit(_call, made, contexts[made.call["id"]]) for made in ready}
            while left:
                seconds = _LOOK_INSIDE_SECONDS if under else _LOOK_SECONDS
                done, left = wait(left, seconds, FIRST_COMPLETED)
                for future in done:
                    record = future.result()
                    self._note_inside(contexts[record["tool_call_id"]])
                    line = _line(contexts[record["tool_call_id"]])
                    if line is not None and line["status"] == "PAUSED":
                        continue
                    ended[record["tool_call_id"]] = record
                    # At once: the next call may never end. In the order of the calls: so that who
                    # wins does not hang on who was faster.
                    states = [one.session_state for key, one in contexts.items() if key in ended]
                    self._take(states, before, change)
                    self.end(record)
                self.outer.stop.check()
        except BaseException as error:
            self.outer.stop.tell(error)
            for made in ready:
                made.tool.stop()
            if _runs_among(ready):
                wait(left, _GRACE_SECONDS)
                for context in contexts.values():
                    self._note_inside(context)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return ended

    def _take(self, states: Sequence[State], before: State, change: StateChange) -> None:
        """Have the state changed by what each tool made of `before`, and by nothing else."""
        self.state.change = change
        for state in states:
            self.state.take(before, _kept(state, before))
        if self.state.change != change:
            self.flight.note({"state_patch": self.state.patch})

    def _note_inside(self, context: RunContext) -> None:
        """Put a run inside this one on record, once, as soon as it has its line."""
        line = _line(context)
        if line is None or not self._is_own(line) or any(line is each for each in self.inside):
            return
        self.inside.append(line)
        self.flight.note({"member": member_of(line), "metrics": line["total_metrics"]})

    def _take_inside(self, lines: Sequence[RunLine], after: int) -> None:
        """Have the changes of runs inside this one in the order of the calls that made them.

        Each is stored already, since line `after`: what is left is what several of them changed.
        Where nothing is kept, all is.
        """
        own = {line["run_id"]: line for line in lines if self._is_own(line)}
        kept = any(line["seq"] is not None for line in own.values())
        stored = takewhile(
            lambda line: (line["seq"] or 0) > after, self.log.newest() if kept else ()
        )
        made = changes_inside(list(stored)[::-1], own)
        changes = made if kept else {run: line["state_patch"] for run, line in own.items()}
        runs = [run for run in own if changes.get(run)]
        patches = [changes[run] or {} for run in runs]
        before = self.state.current
        if not kept:
            self.state.take(before, merge_all(before, patches))
        for path, who in conflicts(patches):
            self.conflicts.append({"path": list(path), "runs": [runs[number] for number in who]})
            said = [only(patches[number], path) for number in who]
            self.state.take(self.state.current, merge_all(self.state.current, said))

    def _waiting(self, contexts: Mapping[str, RunContext]) -> list[Requirement]:
        """Return what runs inside this one were told in it, and what they wait for."""
        return [
            passed_on(one, call, line)
            for call, context in contexts.items()
            if (line := _line(context)) is not None
            for one in line["requirements"]
            if one["decision"] is None or self._is_own(line)
        ]

    def _is_own(self, line: RunLine) -> bool:
        """Tell whether a run was made inside this one, and not in one that this goes on with."""
        return line["parent_run_id"] == self.outer.run_id


def _runs_among(ready: Sequence[Ready]) -> int:
    return sum(isinstance(made.tool, RunTool) for made in ready)


def _line(context: RunContext) -> RunLine | None:
    """Return the run that was made inside, if there is one."""
    return context.inside.line if isinstance(context, RunInside) else None


def _call(made: Ready, context: RunContext) -> ToolRecord:
    started = time.monotonic()
    try:
        if not isinstance(context, RunInside) or context.inside.resumes is None:
            check_arguments(made.tool.spec.parameters, made.arguments)
        if context.seconds == 0:
            if isinstance(context, RunInside):
                raise context.inside.outer.exchange.time.reached()
            raise ToolError("the run's time was up before this tool was called")
        result, failed = storable(made.tool.call(made.arguments, context)), False
    except ToolError as error:
        result, failed = storable(error.message), True
    except Exception as error:
        if isinstance(context, RunInside):
            raise
        result, failed = storable(f"{type(error).__name__}: {error}"), True
    duration = round(time.monotonic() - started, 3)
    record = record_of(made.call, made.arguments, result, failed=failed, duration=duration)
    line = _line(context)
    return record if line is None else {**record, "child_run_id": line["run_id"]}


def record_of(
    call: ToolCall,
    arguments: dict[str, Any],
    result: str,
    *,
    failed: bool = False,
    duration: float = 0.0,
) -> ToolRecord:
    """Return the record of a call."""
    return {
        "tool_call_id": call["id"],
        "tool_name": call["function"]["name"],
        "tool_args": arguments,
        "result": result,
        "tool_call_error": failed,
        "duration": duration,
    }


def _kept(state: State, otherwise: State) -> State:
    """Return the state as a tool left it; what no JSON can hold is as it was."""
    try:
        kept: State = storable_value(state, "the state")
    except ClewError:
        return otherwise
    return kept
