"""Which earlier turns of a session go to the model: whole turns only, newest kept."""

from collections.abc import Iterable
from dataclasses import dataclass

from .lines import HistoryRecord, Line, RunLine
from .messages import Message, ToolCall
from .session import is_turn
from .usage import estimate_tokens

_ANSWER_SHARE = 4
_LONGEST_ANSWER = 4096
_PER_MESSAGE = 8


@dataclass(frozen=True)
class HistoryPolicy:
    """How much history a run sends. Every limit is a maximum; None is no limit.

    `window` is the model's, in tokens: what the request and a fair answer need is left free.
    """

    on: bool = False
    runs: int | None = None
    messages: int | None = None
    tokens: int | None = None
    window: int | None = None


@dataclass(frozen=True)
class History:
    """The messages to send, oldest first, and the record of which turns they are."""

    messages: list[Message]
    record: HistoryRecord


def choose(
    newest: Iterable[Line], policy: HistoryPolicy, *, turns: int, own: list[Message]
) -> History:
    """Return the newest turns that fit.

    `newest` yields lines from the end and is read no further than needed. `turns` is how many the
    session has, `own` what the run itself sends.
    """
    room = _Room(policy, own)
    chosen: list[RunLine] = []
    if policy.on and policy.runs != 0 and turns:
        for line in newest:
            if not is_turn(line):
                continue
            if not room.takes(line):
                break
            chosen.append(line)
            if len(chosen) in (policy.runs, turns):
                break
    chosen.reverse()
    return History(
        [message for line in chosen for message in conversation(line)],
        {
            "runs": len(chosen),
            "first_seq": chosen[0]["seq"] if chosen else None,
            "last_seq": chosen[-1]["seq"] if chosen else None,
            "left_out": max(0, turns - len(chosen)) if policy.on else 0,
        },
    )


def conversation(line: RunLine) -> list[Message]:
    """Return the messages of a run that history may send: all but the system message."""
    return [message for message in line["messages"] if message["role"] != "system"]


class _Room:
    """What is left of the limits, newest turn first."""

    def __init__(self, policy: HistoryPolicy, own: list[Message]) -> None:
        limits = [] if policy.tokens is None else [policy.tokens]
        if policy.window is not None:
            answer = min(policy.window // _ANSWER_SHARE, _LONGEST_ANSWER)
            limits.append(policy.window - answer - tokens_of(own))
        self._tokens = min(limits, default=None)
        self._messages = policy.messages

    def takes(self, line: RunLine) -> bool:
        messages = conversation(line)
        if self._messages is not None:
            self._messages -= len(messages)
            if self._messages < 0:
                return False
        if self._tokens is not None:
            self._tokens -= tokens_of(messages)
            if self._tokens < 0:
                return False
        return True


def tokens_of(messages: Iterable[Message]) -> int:
    """Return about how many tokens these messages are; rather too many than too few."""
    return sum(
        estimate_tokens(message["content"])
        + sum(_tokens_of_call(call) for call in message.get("tool_calls", []))
        + _PER_MESSAGE
        for message in messages
    )


def _tokens_of_call(call: ToolCall) -> int:
    return estimate_tokens(call["function"]["name"] + call["function"]["arguments"])
