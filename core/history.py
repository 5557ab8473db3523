"""Which earlier turns of a session go to the model: whole turns only, newest kept."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal, TypeGuard

from .lines import HistoryRecord, Line, RunLine
from .media import tokens_of_media, without
from .messages import Message, ToolCall, assistant, task_alone
from .session import is_turn, is_turn_of_member
from .tools import TEAM_TOOLS
from .usage import estimate_tokens

_ANSWER_SHARE = 4
_LONGEST_ANSWER = 4096
_PER_MESSAGE = 8
_LINES = 1000
"""Of a session, looked at for the turns of a team's member."""


UseOfSummary = Literal["never", "for_what_is_left_out", "always"]


@dataclass(frozen=True)
class HistoryPolicy:
    """How much history a run sends. Every limit is a maximum; None is no limit.

    `tool_calls` is how many calls of tools, with their results, are left in the turns that are
    sent. `window` is the model's, in tokens: what the request and a fair answer need is left free.
    `summary` tells when the session's summary is sent: in place of turns, or in any case. `of` is
    whose turns they are: those of a team's member of that name, None for the session's.
    """

    on: bool = False
    runs: int | None = None
    messages: int | None = None
    tokens: int | None = None
    tool_calls: int | None = None
    window: int | None = None
    summary: UseOfSummary = "never"
    of: str | None = None

    def has(self, line: Line) -> TypeGuard[RunLine]:
        """Tell whether this line is one of the turns."""
        return is_turn(line) if self.of is None else is_turn_of_member(line, self.of)


@dataclass(frozen=True)
class Summary:
    """The summary of a session: where it is, the text to send, what it stands for."""

    seq: int
    text: str
    turns: int
    left_out: int

    def stands_for(self, left_out: int) -> int:
        """Return how many of the session's first `left_out` turns are in it."""
        return max(0, min(self.turns + self.left_out, left_out) - self.left_out)


@dataclass(frozen=True)
class History:
    """The messages to send, oldest first, and the record of which turns they are.

    `summary` is to be sent in the system message.
    """

    messages: list[Message]
    record: HistoryRecord
    summary: str | None = None


def choose(
    newest: Iterable[Line],
    policy: HistoryPolicy,
    *,
    turns: int,
    own: list[Message],
    summary: Summary | None = None,
) -> History:
    """Return the newest turns that fit.

    `newest` yields lines from the end and is read no further than needed. `turns` is how many the
    session has, `own` what the run itself sends. `summary` takes the place of turns where the
    policy says so, and some of their room.
    """
    room = _Room(policy, own)
    most = turns if policy.runs is None else min(policy.runs, turns)
    chosen, sent = _fitting(newest, policy, room, most if policy.on else 0)
    if summary is not None and not room.has_place_for(summary, sent, turns):
        summary = None
    del chosen[len(sent) :]
    left_out = max(0, turns - len(chosen))
    record: HistoryRecord = {
        "runs": len(chosen),
        "first_seq": chosen[-1]["seq"] if chosen else None,
        "last_seq": chosen[0]["seq"] if chosen else None,
        "left_out": left_out if policy.on else 0,
    }
    calls = sum(_calls(conversation(line)) for line in chosen) - sum(map(_calls, sent))
    if calls:
        record["tool_calls_left_out"] = calls
    if summary is not None:
        record["summary_seq"] = summary.seq
        record["summarized"] = summary.stands_for(left_out)
    messages = list(chain.from_iterable(reversed(sent)))
    return History(messages, record, summary.text if summary else None)


def _fitting(
    newest: Iterable[Line], policy: HistoryPolicy, room: "_Room", most: int
) -> tuple[list[RunLine], list[list[Message]]]:
    """Return the newest turns that fit, newest first, and what is sent of each."""
    chosen: list[RunLine] = []
    sent: list[list[Message]] = []
    for line in newest if most > 0 else ():
        if not policy.has(line):
            continue
        messages = room.take(conversation(line))
        if messages is None:
            break
        chosen.append(line)
        sent.append(messages)
        if len(chosen) == most:
            break
    return chosen, sent


def choose_of_member(
    newest: Callable[[], Iterable[Line]], policy: HistoryPolicy, *, own: list[Message]
) -> History:
    """Return the newest turns of a team's member that fit: of a long session no more is looked at
    than its newest lines."""
    turns = sum(map(policy.has, islice(newest(), _LINES))) if policy.on else 0
    return choose(islice(newest(), _LINES), policy, turns=turns, own=own)


def conversation(line: RunLine) -> list[Message]:
    """Return the messages of a run that history may send: all but the system message.

    What a team's members were asked and said is not for its leader, nor for anybody else.
    """
    messages = [message for message in line["messages"] if message["role"] != "system"]
    if line["parent_run_id"] is not None:
        messages = [task_alone(message) for message in messages]
    if line["kind"] != "team":
        return messages
    calls = (call for message in messages for call in message.get("tool_calls", []))
    own = {call["id"] for call in calls if call["function"]["name"] not in TEAM_TOOLS}
    return _with_calls(messages, own)


def sent_before(
    newest: Iterable[Line], record: HistoryRecord, member: str | None = None
) -> list[Message]:
    """Return the messages of earlier turns that a run of this record sent, oldest first.

    `newest` yields lines from the end and is read no further than needed. `member` is whose run it
    is, if it is that of a team's member.
    """
    policy = HistoryPolicy(of=member)
    first, last = record["first_seq"], record["last_seq"]
    turns: list[list[Message]] = []
    if first is not None and last is not None:
        for line in newest:
            if (line["seq"] or 0) < first:
                break
            if (line["seq"] or 0) <= last and policy.has(line):
                turns.append(conversation(line))
    left = sum(map(_calls, turns)) - record.get("tool_calls_left_out", 0)
    sent: list[list[Message]] = []
    for messages in turns:
        sent.append(_with_newest_calls(messages, left))
        left -= _calls(sent[-1])
    earlier = chain.from_iterable(reversed(sent))
    return without(earlier, record.get("attachments_left_out", []))


def _calls(messages: Iterable[Message]) -> int:
    return sum(len(message.get("tool_calls", [])) for message in messages)


def _with_newest_calls(messages: list[Message], most: int) -> list[Message]:
    """Return a turn with its newest calls only: a result goes with its call, what was said stays.

    Two answers that follow one another then become one, since there are models that take no such.
    """
    ids = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    return messages if len(ids) <= most else _with_calls(messages, set(ids[len(ids) - most :]))


def _with_calls(messages: list[Message], kept: Collection[str]) -> list[Message]:
    """Return a turn with these calls only, and their results."""
    turn: list[Message] = []
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") in kept:
                turn.append(message)
            continue
        calls = [call for call in message.get("tool_calls", []) if call["id"] in kept]
        if message["role"] != "assistant":
            turn.append(message)
        elif turn and turn[-1]["role"] == "assistant" and "tool_calls" not in turn[-1]:
            said = "\n\n".join(filter(None, (turn[-1]["content"], message["content"])))
            turn[-1] = assistant(said, calls)
        elif message["content"] or calls or "tool_calls" not in message:
            turn.append(assistant(message["content"], calls))
    return turn


class _Room:
    """What is left of the limits, newest turn first."""

    def __init__(self, policy: HistoryPolicy, own: list[Message]) -> None:
        limits = [] if policy.tokens is None else [policy.tokens]
        self._free: int | None = None
        if policy.window is not None:
            answer = min(policy.window // _ANSWER_SHARE, _LONGEST_ANSWER)
            self._free = policy.window - answer - tokens_of(own)
            limits.append(self._free)
        self._tokens = min(limits, default=None)
        self._messages = policy.messages
        self._calls = policy.tool_calls
        self._policy = policy

    def take(self, messages: list[Message]) -> list[Message] | None:
        """Return what is sent of the next turn; None if it does not fit."""
        if self._calls is not None:
            messages = _with_newest_calls(messages, self._calls)
            self._calls -= _calls(messages)
        if self._messages is not None:
            self._messages -= len(messages)
            if self._messages < 0:
                return None
        if self._tokens is not None:
            self._tokens -= tokens_of(messages)
            if self._tokens < 0:
                return None
        return messages

    def has_place_for(self, summary: Summary, sent: list[list[Message]], turns: int) -> bool:
        """Tell whether the summary is sent; the oldest of the turns make room for it."""
        if self._policy.summary != "always":
            stands = summary.stands_for(turns - len(sent))
            if self._policy.summary == "never" or not self._policy.on or not stands:
                return False
        if self._free is None:
            return True
        needed = estimate_tokens(summary.text) + _PER_MESSAGE
        if needed > self._free:
            return False
        needed += sum(map(tokens_of, sent))
        while needed > self._free:
            needed -= tokens_of(sent.pop())
        return True


def tokens_of(messages: Iterable[Message]) -> int:
    """Return about how many tokens these messages are; rather too many than too few."""
    return sum(
        estimate_tokens(message["content"])
        + sum(_tokens_of_call(call) for call in message.get("tool_calls", []))
        + sum(map(tokens_of_media, message.get("attachments", [])))
        + _PER_MESSAGE
        for message in messages
    )


def _tokens_of_call(call: ToolCall) -> int:
    return estimate_tokens(call["function"]["name"] + call["function"]["arguments"])
