"""Answers that are to be JSON of some shape: read once, and asked for again where they misfit."""

from dataclasses import dataclass
from typing import Any

from . import agenda
from .answer_schema import Misfit, instruction, parse_answer
from .errors import SchemaMismatch
from .messages import Message, user
from .model import ModelReply
from .text import storable

_OPENING = "This answer cannot be used:\n"
_ENDED_OTHERWISE = ("length", "content_filter")


@dataclass
class Repairs:
    """Which shape answers are to have, and how often one is asked for again; holds the last."""

    schema: dict[str, Any] | None = None
    left: int = 0
    unmended: str = ""
    """The answer that is being asked for again."""
    _data: Any = None
    _wrong: SchemaMismatch | None = None

    def read(self, reply: ModelReply, text: str) -> Misfit | None:
        """Take an answer; return what is wrong with it, if the model could mend that.

        One that was cut off at its longest length would only be cut off again; a schema that cannot
        be applied is mended by no answer.
        """
        self.unmended = ""
        if self.schema is None:
            return None
        try:
            self._data, self._wrong = parse_answer(text, self.schema), None
        except SchemaMismatch as error:
            self._data, self._wrong = None, error
        mendable = self.left and reply.finish_reason not in _ENDED_OTHERWISE
        return self._wrong if mendable and isinstance(self._wrong, Misfit) else None

    def fits(self, text: str) -> bool:
        """Tell whether this could be the answer."""
        if self.schema is None:
            return True
        try:
            parse_answer(text, self.schema)
        except SchemaMismatch:
            return False
        return True

    def data(self) -> Any:
        """Return what the last answer holds; raise SchemaMismatch if that does not fit."""
        if self._wrong is not None:
            raise self._wrong
        return self._data

    def question(self, misfit: Misfit) -> Message:
        """Return the message that tells what was wrong, and asks again."""
        reasons = "\n".join(f"- {reason}" for reason in misfit.reasons)
        return user(storable(f"{_OPENING}{reasons}\n\n{instruction(self.schema or {})}"))


def asks_again(message: Message) -> bool:
    """Tell whether this is a message of clew's own, and no prompt."""
    return message["role"] == "user" and message["content"].startswith((_OPENING, agenda.OPENING))
