"""What has to be done before a run may end with an answer: until then the model has to go on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from .errors import LimitReached
from .messages import Message, user
from .records import ToolRecord
from .text import storable

OPENING = "You have answered, and these tasks are not done:\n"


class Progress(TypedDict):
    """How often the model has been asked, and how often it may be."""

    iteration: int
    max_iterations: int


@dataclass
class Agenda:
    """Sees to it that all is done: the model answers at most `rounds` times.

    `left` says what is left to be done, in view of the calls that ended; `how` tells the model what
    it can do about that, `hint` the user.
    """

    left: Callable[[Sequence[ToolRecord]], Sequence[str]]
    rounds: int
    how: str
    hint: str
    _taken: int = field(default=1, init=False)

    @property
    def progress(self) -> Progress:
        """Where it is."""
        return {"iteration": self._taken, "max_iterations": self.rounds}

    def question(self, left: Sequence[str]) -> Message:
        """Return what asks the model to go on; raise LimitReached after the last round."""
        if self._taken >= self.rounds:
            raise LimitReached(
                f"the limit of {self.rounds} iterations was reached, and these tasks are not done: "
                f"{'; '.join(left)}",
                hint=self.hint,
            )
        self._taken += 1
        shown = "".join(f"- {each}\n" for each in left)
        return user(storable(f"{OPENING}{shown}\n{self.how}"))
