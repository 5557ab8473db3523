"""jq programs: compiled once, run over any data."""

import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import jq_process
from .errors import UsageError
from .text import is_secret_name, shorten, storable, without_middle

_KEPT = 128
"""So many compiled programs."""
_LONGEST_REASON = 300
"""In characters: it may quote the data."""
_COMPLAINT = re.compile(r"jq: error: (.*?)(?: at <top-level>, (line \d+, column \d+):?)?")


@dataclass(frozen=True)
class Program:
    """A jq program. Several threads may run it at once."""

    text: str
    _whole: str
    _compiled: Any
    _apart: bool

    def values(self, data: Any) -> list[Any]:
        """Return all values that it gives for `data`; raise UsageError if it fails."""
        try:
            if self._apart:
                return jq_process.values(self._whole, data)
            values: list[Any] = self._compiled.input_value(data).all()
        except (ValueError, TimeoutError, OSError) as error:
            reason = without_middle(" ".join(str(error).split()), _LONGEST_REASON)
            raise UsageError(f"the jq program {self._shown} failed: {reason}") from None
        return values

    def one(self, data: Any) -> Any:
        """Return the one value that it gives; raise UsageError if it gives none, or several."""
        values = self.values(data)
        if len(values) != 1:
            hint = "`// null` stands for no value, `[…]` makes one of several"
            given = len(values) or "none"
            raise UsageError(
                f"the jq program {self._shown} must give one value, and gave {given}", hint=hint
            )
        return values[0]

    def holds(self, data: Any) -> bool:
        """Tell whether its one value is, as jq takes it, true: neither false nor null."""
        value = self.one(data)
        return value is not None and value is not False

    @property
    def _shown(self) -> str:
        return shorten(" ".join(self.text.split()))


def program(text: str, *, apart: bool = True) -> Program:
    """Return a jq program; raise UsageError if it is none.

    It runs `apart`, in a process of its own, or else in this one, which then nothing can stop: no
    signal, no limit, not another thread. It sees the environment without secrets, whatever it makes
    may be stored; it reads no files.
    """
    text = whole = storable(text)
    if "\0" in text:
        raise UsageError("the jq program is wrong: it has a NUL character")
    try:
        compiled = _compile(text)  # by itself: what is said of it has its own lines and columns
        if "env" in text or "ENV" in text:
            whole = f"def env: {_environment()}; env as $ENV | {text}"
            compiled = _compile(whole)
    except ValueError as error:
        raise UsageError(f"the jq program is wrong: {_reason(str(error))}") from None
    return Program(text, whole, compiled, apart)


@lru_cache(_KEPT)
def _compile(text: str) -> Any:
    import jq

    return jq.compile(text)


def _environment() -> str:
    shown = {
        storable(name): storable(value)
        for name, value in os.environ.items()
        if not is_secret_name(name)
    }
    return json.dumps(shown)


def _reason(complaint: str) -> str:
    found = _COMPLAINT.fullmatch(complaint.partition("\n")[0])
    if found is None:
        return " ".join(complaint.split())
    return f"{found[1]} ({found[2]})" if found[2] else found[1]
