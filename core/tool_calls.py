"""Tool calls as providers send them: in pieces, at times without an id, or with one id twice."""

from collections.abc import Iterable
from typing import Any

from .clock import new_id
from .messages import Message, ToolCall
from .text import storable


class ToolCallPieces:
    """Puts the pieces of tool calls together, in the order in which the calls began."""

    def __init__(self) -> None:
        self._calls: dict[Any, ToolCall] = {}

    def add(self, pieces: list[Any], *, each_is_whole: bool = False) -> None:
        """Take what came: pieces of one call carry the same index."""
        for piece in pieces:
            index = getattr(piece, "index", None)
            key = len(self._calls) if each_is_whole or index is None else f"index {index}"
            empty: ToolCall = {
                "id": "",
                "type": "function",
                "function": {"name": "", "arguments": ""},
            }
            call = self._calls.setdefault(key, empty)
            call["id"] = call["id"] or _text(getattr(piece, "id", None))
            function = getattr(piece, "function", None)
            call["function"]["name"] += _text(getattr(function, "name", None))
            call["function"]["arguments"] += _text(getattr(function, "arguments", None))

    def whole(self) -> tuple[ToolCall, ...]:
        """Return the calls; one without an id, or with another's, gets one of its own."""
        return with_ids_of_their_own(self._calls.values(), ())


def with_ids_of_their_own(
    calls: Iterable[ToolCall], earlier: Iterable[Message], *, new: bool = False
) -> tuple[ToolCall, ...]:
    """Return the calls, none without an id, and none with that of another, also an earlier one.

    Some models count from 1 in each answer; a result has to belong to one call only. With `new`
    each gets one that no call has, also of other runs.
    """
    seen = {call["id"] for message in earlier for call in message.get("tool_calls", [])}
    named: list[ToolCall] = []
    for call in calls:
        own = call["id"] if call["id"] and call["id"] not in seen and not new else _new()
        seen.add(own)
        named.append({**call, "id": own})
    return tuple(named)


def _new() -> str:
    return f"call_{new_id()}"


def _text(value: Any) -> str:
    return storable(value) if isinstance(value, str) else ""
