"""The turns of a run: the model, the tools it calls, the model again, until it answers."""

import copy
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from .answer_repair import Repairs
from .approvals import Decide, Settlement
from .clock import now
from .errors import ClewError, LimitReached, ProviderDown
from .events import Announcer, Event, EventName
from .exchange import Exchange
from .flight import unended
from .lines import Decision, Requirement, State, ToolRecord
from .messages import Message, ToolCall, assistant, in_call_order, open_calls, tool_result
from .model import ModelReply, ModelRequest
from .run_state import RunState
from .session import StateChange
from .state import storable_value
from .store import Flight, SessionLog
from .text import storable
from .tool_calls import with_ids_of_their_own
from .tools import (
    RunContext,
    Tool,
    ToolError,
    arguments_of,
    check_arguments,
    for_model,
    requirement_of,
)
from .usage import CallKind

_AT_ONCE = 8
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class _Ready:
    """A tool call that can be made."""

    call: ToolCall
    tool: Tool
    arguments: dict[str, Any]


@dataclass
class Turns:
    """Goes from question to answer; holds what was said and done, also when it ends in an error.

    `said` are the messages after those of the request, `tools` the calls that ended,
    `requirements` what was decided, and what is still open. `waiting` is what an earlier run left
    open, `settled` what was decided about it, both by the ids of the calls. `repairs` says which
    answers are asked for again.
    """

    exchange: Exchange
    log: SessionLog
    flight: Flight
    announcer: Announcer
    state: RunState
    context: RunContext
    offered: Mapping[str, Tool]
    decide: Decide
    settled: dict[str, Settlement]
    waiting: dict[str, Requirement]
    tool_call_limit: int | None = None
    repairs: Repairs = field(default_factory=Repairs)
    said: list[Message] = field(default_factory=list)
    tools: list[ToolRecord] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    _begun: dict[str, float] = field(default_factory=dict)
    _stood_in: dict[str, Decision] = field(default_factory=dict)
    _done: dict[str, ToolRecord] = field(default_factory=dict)
    _taken: int = 0
    _made: int = 0

    def go(self, request: ModelRequest, waiting: Sequence[ToolCall] = ()) -> bool:
        """Ask until there is an answer; False if the run has to pause for somebody.

        `waiting` are tool calls that an earlier run left open. Raises ModelError, LimitReached or
        StoreError.
        """
        calls = tuple(waiting)
        repair: Message | None = None
        while not calls or self._answer(calls):
            self._take_turn()
            messages = in_call_order([*request.messages, *self.said])
            kind: CallKind = "repair" if repair else "model"
            hold = bool(self.repairs.left)
            reply = self.exchange.ask(replace(request, messages=messages), kind, hold=hold)
            if reply.tool_calls and not self.offered:
                raise ProviderDown("the model called a tool, and none was offered")
            calls = with_ids_of_their_own(reply.tool_calls, messages)
            message = assistant(self.exchange.content, calls)
            self.said.append(message)
            repair = None if calls else self._repair(reply, request.messages)
            if not calls and repair is None:
                self.exchange.end_turn(answered=True)
                return True
            self.flight.note({"message": message})
            self.exchange.end_turn(answered=False)
            if repair is not None:
                self._say(repair)
        return False

    def _repair(self, reply: ModelReply, sent: Sequence[Message]) -> Message | None:
        """Read an answer; return what asks for it again if it does not fit, and there is room."""
        misfit = self.repairs.read(reply, self.exchange.content)
        if misfit is None or self._taken >= self.exchange.limits.most_turns:
            return None
        question = self.repairs.question(misfit)
        if not self.exchange.has_room([*sent, *self.said, question]):
            return None
        self.repairs.left -= 1
        self.repairs.unmended = self.exchange.content
        event = self.announcer.event("OutputRepairStarted")
        self.announcer.tell({**event, "error": misfit.record()})
        return question

    def _say(self, message: Message) -> None:
        self.said.append(message)
        self.flight.note({"message": message})

    def give_up(self) -> str:
        """Say of each call that has no result why: a provider takes no message without one.

        Returns the answer that was being asked for again.
        """
        for call in open_calls(self.said):
            self._end(self._done.get(call["id"]) or self._unended(call))
        return self.repairs.unmended

    def _unended(self, call: ToolCall) -> ToolRecord:
        record = unended(call, self._begun, "the run ended")
        if call["id"] in self._begun:
            record["duration"] = round(time.monotonic() - self._begun[call["id"]], 3)
        return record

    def _take_turn(self) -> None:
        most = self.exchange.limits.most_turns
        if self._taken >= most:
            raise LimitReached(f"the limit of {most} turns was reached", hint="--max-turns sets it")
        self._taken += 1

    def _answer(self, calls: Sequence[ToolCall]) -> bool:
        """Have every call answered that can be; tell whether none is left open."""
        ended: dict[str, ToolRecord] = {}
        ready: list[_Ready] = []
        is_open = False
        for call in calls:
            try:
                made = self._look_at(call)
            except ToolError as error:
                ended[call["id"]] = _record(call, {}, error.message, failed=True)
                continue
            if isinstance(made, _Ready):
                ready.append(made)
            elif made is None:
                is_open = True
            else:
                ended[call["id"]] = made
        ended |= self._run(ready)
        for call in calls:
            if call["id"] in ended:
                self._end(ended[call["id"]])
        return not is_open

    def _look_at(self, call: ToolCall) -> _Ready | ToolRecord | None:
        """Return the call if it can be made, its end if it was decided, None if it is open.

        Raises ToolError for a call that cannot be made at all.
        """
        name = call["function"]["name"]
        left = self.waiting.pop(call["id"], None)
        settlement = self.settled.pop(call["id"], None)
        if left is not None and settlement is not None and not settlement.calls:
            return self._stand_in(call, left, settlement)
        tool = self.offered.get(name)
        if tool is None:
            known = ", ".join(self.offered)
            raise ToolError(f"there is no tool {name!r}; the tools are: {known}")
        spec, arguments = tool.spec, arguments_of(call)
        check_arguments(for_model(spec)["function"]["parameters"], arguments)
        if left is None:
            self._count()
        # What a call waits for was said when it was made: the tool may have changed since.
        requirement = left or requirement_of(spec, call["id"], arguments)
        if requirement is None:
            return _Ready(call, tool, arguments)
        settlement = settlement or self.decide(requirement, spec)
        if settlement is None:
            self.requirements.append(requirement)
            return None
        if not settlement.calls:
            return self._stand_in(call, requirement, settlement)
        self._decided(requirement, settlement)
        return _Ready(call, tool, arguments | dict(settlement.values))

    def _count(self) -> None:
        """Count a call that can be made; raise ToolError if it is one too many."""
        most = self.tool_call_limit
        if most is not None and self._made >= most:
            raise ToolError(f"the limit of {most} tool calls was reached: answer without this one")
        self._made += 1

    def _stand_in(
        self, call: ToolCall, requirement: Requirement, settlement: Settlement
    ) -> ToolRecord:
        """Return the end of a call that is not made: somebody said no, or what its result is."""
        self._decided(requirement, settlement)
        self._stood_in[call["id"]] = settlement.decision
        arguments = requirement["tool_args"]
        if settlement.decision == "supplied":
            return _record(call, arguments, storable(settlement.result))
        why = f": {settlement.note}" if settlement.note else ""
        return _record(call, arguments, f"The user did not allow this call{why}")

    def _decided(self, requirement: Requirement, settlement: Settlement) -> None:
        requirement["decision"] = settlement.decision
        requirement["note"] = settlement.note
        requirement["by"] = self.context.user_id
        requirement["at"] = now()
        for each in requirement["fields"]:
            each["value"] = settlement.values.get(each["name"])
        self.requirements.append(requirement)
        self.flight.note({"requirement": requirement})

    def _run(self, ready: list[_Ready]) -> dict[str, ToolRecord]:
        """Make the calls, all at once; return how each ended."""
        if not ready:
            return {}
        outside = any(made.tool.reads_session for made in ready)
        if outside:
            self.state.store(self.log, self.context.run_id)
            self.flight.note({"state_patch": self.state.patch})
        for made in ready:
            self._begin(made)
        self.flight.sync()
        ended = self._together(ready)
        if outside:
            self.state.read(self.log)
        self.flight.note({"state_patch": self.state.patch})
        self.flight.sync()
        return ended

    def _context(self, state: State) -> RunContext:
        return replace(
            self.context, session_state=copy.deepcopy(state), seconds=self.exchange.seconds_left
        )

    def _together(self, ready: list[_Ready]) -> dict[str, ToolRecord]:
        before, change = self.state.current, self.state.change
        contexts = {made.call["id"]: self._context(before) for made in ready}
        pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
        ended: dict[str, ToolRecord] = {}
        try:
            left = {pool.submit(_call, made, contexts[made.call["id"]]) for made in ready}
            while left:
                done, left = wait(left, _LOOK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    record = future.result()
                    ended[record["tool_call_id"]] = record
                    # At once: the next call may never end. In the order of the calls: so that who
                    # wins does not hang on who was faster.
                    states = [one.session_state for key, one in contexts.items() if key in ended]
                    self._take(states, before, change)
                    self._ended(record)
        except BaseException:
            for made in ready:
                made.tool.stop()
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

    def _begin(self, made: _Ready) -> None:
        record = _record(made.call, made.arguments, "")
        self._begun[made.call["id"]] = time.monotonic()
        self.flight.note({"begun": record})
        self.announcer.tell({**self.announcer.event("ToolCallStarted"), "tool": record})

    def _ended(self, record: ToolRecord) -> None:
        self._done[record["tool_call_id"]] = record
        self.flight.note({"tool": record})
        name: EventName = "ToolCallError" if record["tool_call_error"] else "ToolCallCompleted"
        event: Event = {**self.announcer.event(name), "tool": record}
        stood_in = self._stood_in.get(record["tool_call_id"])
        self.announcer.tell({**event, "decision": stood_in} if stood_in else event)

    def _end(self, record: ToolRecord) -> None:
        if record["tool_call_id"] not in self._done:
            self._ended(record)
        self.tools.append(record)
        self.said.append(tool_result(record["tool_call_id"], record["result"]))


def _call(made: _Ready, context: RunContext) -> ToolRecord:
    started = time.monotonic()
    try:
        check_arguments(made.tool.spec.parameters, made.arguments)
        if context.seconds == 0:
            raise ToolError("the run's time was up before this tool was called")
        result, failed = storable(made.tool.call(made.arguments, context)), False
    except ToolError as error:
        result, failed = storable(error.message), True
    except Exception as error:
        result, failed = storable(f"{type(error).__name__}: {error}"), True
    duration = round(time.monotonic() - started, 3)
    return _record(made.call, made.arguments, result, failed=failed, duration=duration)


def _record(
    call: ToolCall,
    arguments: dict[str, Any],
    result: str,
    *,
    failed: bool = False,
    duration: float = 0.0,
) -> ToolRecord:
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
