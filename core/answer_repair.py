"""The repair of an answer that is not the JSON that was asked for: the model is asked once more."""

from dataclasses import dataclass
from typing import Any

from .answer_schema import Misfit, instruction, parse_answer
from .errors import SchemaMismatch
from .messages import Message, user
from .model import ModelReply
from .text import storable

_OPENING = "This answer cannot be used:\n"
_ENDED_OTHERWISE = ("length", "content_filter")


@dataclass
class Repairs:
    """What is asked again for, and how often."""

    schema: dict[str, Any] | None = None
    left: int = 0

    def misfit(self, reply: ModelReply, text: str) -> Misfit | None:
        """Return what is wrong with an answer that the model could mend.

        An answer that was cut off at its longest length would only be cut off again.
        """
        if self.schema is None or not self.left or reply.finish_reason in _ENDED_OTHERWISE:
            return None
        try:
            parse_answer(text, self.schema)
        except Misfit as misfit:
            return misfit
        except SchemaMismatch:
            pass  # the schema cannot be applied, which no answer mends
        return None

    def question(self, misfit: Misfit) -> Message:
        """Return the message that tells what was wrong, and asks again."""
        reasons = "\n".join(f"- {reason}" for reason in misfit.reasons)
        return user(storable(f"{_OPENING}{reasons}\n\n{instruction(self.schema or {})}"))


def asks_again(message: Message) -> bool:
    """Tell whether this is a message of clew's own, and no prompt."""
    return message["role"] == "user" and message["content"].startswith(_OPENING)
