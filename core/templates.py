"""What a definition tells the model, filled in."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .lines import State

_FIELD = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)*)\}")


@dataclass(frozen=True)
class Instructions:
    """The text of a definition: `{key}` in it stands for a param, or else for the state's.

    `shows_state` adds the whole state to it, `postscript` is said in any case, as it is.
    """

    text: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    shows_state: bool = False
    postscript: str = ""

    def system(self, state: State, instead: str | None) -> list[str]:
        """Return the parts of the system message; `instead`, taken as it is, replaces the text."""
        text = instead or self.fill(self.text, state)
        parts = [part for part in (text, self.postscript) if part]
        if self.shows_state:
            parts.append(f"<session_state>\n{_as_json(state)}\n</session_state>")
        return parts

    def fill(self, text: str, state: State) -> str:
        """Return `text` with what is known filled in; all else in braces stays as it is."""

        def value(match: re.Match[str]) -> str:
            for known in (self.params, state):
                found = _find(known, match[1])
                if found is not None:
                    return found if isinstance(found, str) else _as_json(found)
            return match[0]

        return _FIELD.sub(value, text)


def instruction_text(instructions: str | Sequence[str]) -> str:
    """Return instructions as text: several are a list of points."""
    if isinstance(instructions, str):
        return instructions
    return "\n".join(f"- {each}" for each in instructions)


def _find(known: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(known, list) and key.isdecimal() and int(key) < len(known):
            known = known[int(key)]
        elif isinstance(known, Mapping) and key in known:
            known = known[key]
        else:
            return None
    return known


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
