"""The published formats, as JSON Schema and as a strict check, from `lines` and `events`."""

from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from . import errors, events, lines, messages, usage

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True, strict=True)
_TYPES: tuple[Any, ...] = (
    errors.ErrorRecord,
    messages.ToolFunction,
    messages.ToolCall,
    messages.Message,
    usage.Usage,
    usage.Call,
    usage.Totals,
    usage.RunMetrics,
    usage.SessionMetrics,
    lines.FileRecord,
    lines.HistoryRecord,
    lines.ForkRecord,
    lines.RunLine,
    lines.StateLine,
    lines.SessionLine,
    events.Event,
)


@cache
def _adapters() -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    for kind in _TYPES:
        kind.__pydantic_config__ = _DOCUMENTED
    line = Annotated[lines.Line, Field(discriminator="type")]
    return TypeAdapter(line), TypeAdapter(events.Event)


def line_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line."""
    return _adapters()[0].json_schema() | {"title": "clew line"}


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of an event."""
    return _adapters()[1].json_schema() | {"title": "clew event"}


def check_line(line: Any) -> None:
    """Raise ValueError, saying where and why, if `line` does not fit its type exactly."""
    _adapters()[0].validate_python(line)
