"""The turns of a run: the model, the tools it calls, the model again, until it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .agenda import Agenda
from .answer_repair import Repairs
from .approvals import Decide, Settlement
from .clock import now
from .errors import LimitReached, ProviderDown
from .events import Announcer
from .exchange import Exchange
from .messages import (
    Message,
    ToolCall,
    assistant,
    in_call_order,
    last_calls,
    open_calls,
    tool_result,
)
from .model import ModelReply, ModelRequest
from .records import Decision, Requirement, ToolRecord
from .store import Flight
from .text import storable
from .tool_calls import with_ids_of_their_own
from .tool_round import Ready, ToolRound, record_of
from .tools import (
    AnswerTool,
    BookTool,
    RunTool,
    Tool,
    ToolError,
    arguments_of,
    check_arguments,
    for_model,
    readable_arguments,
    requirement_of,
)
from .usage import CallKind


@dataclass
class Turns:
    """Goes from question to answer; holds what was said and done, also when it ends in an error.

    `said` are the messages after those of the request, `tools` the calls that ended,
    `requirements` what was decided, and what is still open. `waiting` is what an earlier run left
    open, `settled` what was decided about it, both by the ids of the calls; `settled_inside` is
    what was decided about runs inside this one, by the calls that made them; `resuming` are tools
    that go on with such, beside those that are `offered` to the model. `agenda` says what is
    to be done before there may be an answer, `repairs` which answers are asked for again.
    """

    exchange: Exchange
    flight: Flight
    announcer: Announcer
    round: ToolRound
    user_id: str
    offered: Mapping[str, Tool]
    resuming: Mapping[str, Tool]
    decide: Decide
    settled: dict[str, Settlement]
    settled_inside: Mapping[str, Mapping[str, Settlement]]
    waiting: dict[str, Requirement]
    tool_call_limit: int | None = None
    agenda: Agenda | None = None
    repairs: Repairs = field(default_factory=Repairs)
    said: list[Message] = field(default_factory=list)
    tools: list[ToolRecord] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    _stood_in: dict[str, Decision] = field(default_factory=dict)
    _taken: int = 0
    _made: int = 0

    def go(self, request: ModelRequest, waiting: Sequence[ToolCall] = ()) -> bool:
        """Ask until there is an answer; False if the run has to pause for somebody.

        `waiting` are tool calls that an earlier run left open. Raises ModelError, LimitReached or
        StoreError.
        """
        calls = tuple(waiting)
        kind: CallKind = "model"
        while not calls or self._answer(calls):
            messages = in_call_order([*request.messages, *self.said])
            if self._is_answered_inside(last_calls(messages)):
                return True
            self._take_turn()
            hold = bool(self.repairs.left)
            reply = self.exchange.ask(replace(request, messages=messages), kind, hold=hold)
            if reply.tool_calls and not self.offered:
                raise ProviderDown("the model called a tool, and none was offered")
            calls = with_ids_of_their_own(
                reply.tool_calls, messages, new=self.exchange.outer is not None
            )
            message = assistant(self.exchange.content, calls)
            self.said.append(message)
            again = None if calls else self._left(reply)
            kind = "model"
            if not calls and again is None:
                again = self._repair(reply, request.messages)
                kind = "repair"
            if not calls and again is None:
                self.exchange.end_turn(answered=True)
                return True
            self.flight.note({"message": message})
            self.exchange.end_turn(answered=False)
            if again is not None:
                self._say(again)
        return False

    def _is_answered_inside(self, calls: Sequence[ToolCall]) -> bool:
        """Tell whether runs inside this one, or other calls, have said its answer, and then say it.

        They may have ended in the run that this one goes on with, also all of them: if what they
        said does not fit, then that run has said so, and the model is asked again. What no run has
        said need not fit.
        """
        if not calls or not all(self._is_answer(call) for call in calls):
            return False
        ended = {record["tool_call_id"]: record for record in self.round.ended}
        records = [ended[call["id"]] for call in calls if call["id"] in ended]
        if len(records) < len(calls) or any(record["tool_call_error"] for record in records):
            return False
        text = "\n\n".join(record["result"] for record in records)
        if not any(isinstance(self._tool(call), RunTool) for call in calls):
            self.exchange.take_over(text, None)
            self.said.append(assistant(text))
            return True
        lines = [self.round.line_of(call["id"]) for call in calls]
        if not any(lines) and not self.repairs.fits(text):
            return False
        last = lines[-1]
        reason = last["finish_reason"] if last else None
        self.repairs.read(self.exchange.take_over(text, reason), text)
        self.said.append(assistant(text))
        return True

    def _is_answer(self, call: ToolCall) -> bool:
        tool = self._tool(call)
        return isinstance(tool, AnswerTool) and tool.is_answer

    def _tool(self, call: ToolCall) -> Tool | None:
        return self.offered.get(call["function"]["name"])

    def _left(self, reply: ModelReply) -> Message | None:
        """Return what asks to go on with what is not done, if there is any; raise LimitReached."""
        if self.agenda is None or reply.finish_reason == "content_filter":
            return None
        left = self.agenda.left(self.round.ended)
        if not left:
            return None
        try:
            question = self.agenda.question(left)
        except LimitReached:
            self.exchange.end_turn(answered=True)
            raise
        event = self.announcer.event("TaskIterationStarted")
        self.announcer.tell({**event, **self.agenda.progress, "open_tasks": list(left)})
        return question

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

    def give_up(self, begun_with: Sequence[Message]) -> str:
        """Say of each call that has no result why: a provider takes no message without one.

        Such are also in what the run began with. Returns the answer that was being asked for again.
        """
        for call in open_calls([*begun_with, *self.said]):
            self._end(self.round.done.get(call["id"]) or self.round.unended(call))
        return self.repairs.unmended

    def _take_turn(self) -> None:
        most = self.exchange.limits.most_turns
        if self._taken >= most:
            raise LimitReached(f"the limit of {most} turns was reached", hint="--max-turns sets it")
        self._taken += 1

    def _answer(self, calls: Sequence[ToolCall]) -> bool:
        """Have every call answered that can be; tell whether none is left open."""
        ended: dict[str, ToolRecord] = {}
        ready: list[Ready] = []
        is_open = False
        for call in calls:
            try:
                made = self._look_at(call)
            except ToolError as error:
                ended[call["id"]] = record_of(
                    call, readable_arguments(call), error.message, failed=True
                )
                continue
            if isinstance(made, Ready):
                ready.append(made)
            elif made is None:
                is_open = True
            else:
                ended[call["id"]] = made
        results, inside = self.round.make(ready, self.settled_inside)
        ended |= results
        self.requirements += inside
        is_open |= any(one["decision"] is None for one in inside)
        for call in calls:
            if call["id"] in ended:
                self._end(ended[call["id"]])
        return not is_open

    def _look_at(self, call: ToolCall) -> Ready | ToolRecord | None:
        """Return the call if it can be made, its end if it was decided, None if it is open.

        Raises ToolError for a call that cannot be made at all.
        """
        name = call["function"]["name"]
        left = self.waiting.pop(call["id"], None)
        settlement = self.settled.pop(call["id"], None)
        if left is not None and settlement is not None and not settlement.calls:
            return self._stand_in(call, left, settlement)
        goes_on = self.round.resumes.get(call["id"]) is not None
        tool = self.offered.get(name) or (self.resuming.get(name) if goes_on else None)
        if tool is None:
            known = ", ".join(self.offered)
            raise ToolError(f"there is no tool {name!r}; the tools are: {known}")
        spec, arguments = tool.spec, arguments_of(call)
        if not goes_on:  # the tool may take others since then
            check_arguments(for_model(spec)["function"]["parameters"], arguments)
        if left is None and not isinstance(tool, RunTool | BookTool):
            self._count()
        # What a call waits for was said when it was made: the tool may have changed since.
        requirement = left or requirement_of(spec, call["id"], arguments)
        if requirement is None:
            return Ready(call, tool, arguments)
        settlement = settlement or self.decide(requirement, spec)
        if settlement is None:
            self.requirements.append(requirement)
            return None
        if not settlement.calls:
            return self._stand_in(call, requirement, settlement)
        self._decided(requirement, settlement)
        return Ready(call, tool, arguments | dict(settlement.values))

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
            return record_of(call, arguments, storable(settlement.result))
        why = f": {settlement.note}" if settlement.note else ""
        return record_of(call, arguments, f"The user did not allow this call{why}")

    def _decided(self, requirement: Requirement, settlement: Settlement) -> None:
        requirement["decision"] = settlement.decision
        requirement["note"] = settlement.note
        requirement["by"] = self.user_id
        requirement["at"] = now()
        for each in requirement["fields"]:
            each["value"] = settlement.values.get(each["name"])
        self.requirements.append(requirement)
        self.flight.note({"requirement": requirement})

    def _end(self, record: ToolRecord) -> None:
        if record["tool_call_id"] not in self.round.done:
            self.round.end(record, self._stood_in.get(record["tool_call_id"]))
        self.tools.append(record)
        self.said.append(tool_result(record["tool_call_id"], record["result"]))
