"""The published formats, as JSON Schema and as a strict check, from `lines` and `events`."""

from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from . import errors, events, lines, messages, records, usage

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True, strict=True)
_TYPES: tuple[Any, ...] = (
    errors.ErrorRecord,
    messages.FileRecord,
    messages.LeftOut,
    messages.ToolFunction,
    messages.ToolCall,
    messages.Message,
    usage.Usage,
    usage.Call,
    usage.Totals,
    usage.RunMetrics,
    usage.SessionMetrics,
    lines.HistoryRecord,
    records.ForkRecord,
    records.ToolRecord,
    records.FieldRecord,
    records.InnerRecord,
    records.MemberRecord,
    records.StateConflict,
    records.Requirement,
    records.MovedRecord,
    records.StepRecord,
    lines.RepairRecord,
    lines.Covered,
    lines.RunLine,
    lines.StateLine,
    lines.SessionLine,
    events.Event,
)
_BASES = {lines.BaseLine, usage.Usage, usage.Totals}


@cache
def _adapters() -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    for kind in (*_TYPES, *_BASES):
        kind.__pydantic_config__ = _DOCUMENTED
    line = Annotated[lines.Line, Field(discriminator="type")]
    return TypeAdapter(line), TypeAdapter(events.Event)


def line_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line."""
    return _with_inherited_docs(_adapters()[0].json_schema()) | {"title": "clew line"}


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of an event."""
    return _adapters()[1].json_schema() | {"title": "clew event"}


def _with_inherited_docs(schema: dict[str, Any]) -> dict[str, Any]:
    """Add what is said of a field where a type inherits it: pydantic reads a type's own only."""
    for kind in _TYPES:
        for base in set(kind.__orig_bases__) & _BASES:
            described = schema["$defs"].get(kind.__name__, {}).get("properties", {})
            for name, field in TypeAdapter(base).json_schema()["properties"].items():
                if name in described and "description" in field:
                    described[name].setdefault("description", field["description"])
    return schema


def check_line(line: Any) -> None:
    """Raise ValueError, saying where and why, if `line` does not fit its type exactly."""
    _adapters()[0].validate_python(line)
