"""The name that a session gets without a model: what ran, and when."""

from typing import cast

from . import ids
from .errors import ClewError, ConflictError
from .lines import SessionLine
from .result import RunOutput
from .session import Draft
from .store import Store
from .upkeep import Done

_LONGEST = 40
_NAMESAKES = 100


def named_after(what: str, result: RunOutput, store: Store) -> Done:
    """Give the run's session a name, if it has none: the beginning of a text, and the time."""
    line = result.line
    shown = "".join(filter(str.isprintable, " ".join(what.split())))[:_LONGEST].rstrip()
    when = line["started_at"].replace("T", " ")[:16]
    try:
        return Done("name", _given(f"{shown} - {when}", result, store), None)
    except ClewError as error:
        return Done("name", None, error)


def _given(name: str, result: RunOutput, store: Store) -> SessionLine | None:
    for number in range(1, _NAMESAKES):
        free = ids.session_name(name if number == 1 else f"{name} {number}")
        made = Draft("session", {"name": free, "by": result.run_id})
        who = (result.session_id, result.line["user_id"])
        try:
            line = store.rename(*who, free, made=made, unless_named=True)
        except ConflictError:
            continue
        return cast(SessionLine | None, line)
    return None
