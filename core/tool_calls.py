"""Tool calls as providers send them: in pieces, at times without an id, or with one id twice."""

from typing import Any

from .clock import new_id
from .messages import ToolCall
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
        seen: set[str] = set()
        for call in self._calls.values():
            if not call["id"] or call["id"] in seen:
                call["id"] = f"call_{new_id()}"
            seen.add(call["id"])
        return tuple(self._calls.values())


def _text(value: Any) -> str:
    return storable(value) if isinstance(value, str) else ""
