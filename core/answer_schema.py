"""The shape that an answer is asked to have, and whether it has it."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import SchemaMismatch, UsageError
from .loading import load_object
from .state import parse_json, parse_object, storable_value
from .text import without_middle

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\s+([a-z]+))?(?:\s*:\s*(.+))?")
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MOST_MISFITS = 5
_LONGEST_REASON = 300
"""In characters: it may quote all of an answer."""
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)


class Misfit(SchemaMismatch):
    """The answer does not fit, for reasons that the model can be told."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(reasons[0])
        self.reasons = reasons


def parse_schema(text: str, what: str = "--schema") -> dict[str, Any]:
    """Return the JSON Schema that `text` means; raise UsageError if it means none.

    Taken are JSON, @FILE, module:Class of a pydantic model, and the short form `name, age int,
    note: why`.
    """
    if text.startswith("@"):
        text = read_text(text[1:], what)
    if text.lstrip().startswith("{"):
        schema = parse_object(text, "the schema")
    elif _CLASS.fullmatch(text):
        schema = _schema_of_class(text, what)
    else:
        schema = _short_form(text)
    return checked_schema(schema)


def read_text(path: str, what: str) -> str:
    """Return the text of a file that an option names; raise UsageError if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{what}: cannot read {path!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{what}: {path!r} is not UTF-8 text") from None


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema; raise UsageError if it is none, or refers to something outside."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    try:
        validator_for(schema).check_schema(schema)
        _resolve_references(schema)
    except SchemaError as error:
        raise UsageError(f"the schema is no JSON Schema: {error.message}") from None
    except Unresolvable as error:
        raise UsageError(f"the schema refers to {error.ref!r}, which is not in it") from None
    return schema


def _resolve_references(schema: dict[str, Any]) -> None:
    """Raise Unresolvable for a reference out of the schema: nothing is ever fetched."""
    from referencing.jsonschema import DRAFT202012, SchemaResource

    root = SchemaResource.from_contents(schema, default_specification=DRAFT202012)
    resolver = _known_schemas().resolver_with_root(root)
    for reference in _references(schema):
        resolver.lookup(reference)


def _known_schemas() -> Any:
    """Return what a schema may refer to beside itself: the meta-schemas, and no network."""
    from jsonschema_specifications import REGISTRY

    return REGISTRY


def _references(node: Any) -> Iterator[str]:
    """Yield the references in a schema; those below an `$id` of its own are relative to that."""
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for part in parts:
        if not (isinstance(part, dict) and "$id" in part):
            yield from _references(part)


def _short_form(text: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for part in re.split(r"[,\n]", text):
        match = _FIELD.fullmatch(part.strip())
        kind = _TYPES.get(match[2] or "str") if match else None
        if match is None or kind is None:
            raise UsageError(
                f"{part.strip()!r} is not a field of a schema",
                hint="write JSON, @FILE, module:Class, or fields like 'name str, age int, ok bool'",
            )
        properties[match[1]] = {"type": kind} | ({"description": match[3]} if match[3] else {})
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema_of_class(name: str, what: str) -> dict[str, Any]:
    try:
        schema = load_object(name).model_json_schema()
    except Exception as error:
        raise UsageError(
            f"{what} {name}: {error}", hint="name a pydantic model, as module:Class"
        ) from None
    if not isinstance(schema, dict):
        raise UsageError(f"{what} {name}: that is not a pydantic model")
    return schema


def instruction(schema: dict[str, Any]) -> str:
    """Return what tells a model to answer in this shape."""
    return (
        "Answer with one JSON value and nothing else, no explanation, no code fence. "
        f"It must fit this JSON Schema:\n{json.dumps(schema)}"
    )


def parse_answer(text: str, schema: dict[str, Any]) -> Any:
    """Return the data that an answer holds; raise SchemaMismatch if it does not fit."""
    fenced = _FENCED.search(text)
    try:
        data = storable_value(json.loads(fenced[1] if fenced else text), "the answer")
    except (ValueError, RecursionError, UsageError) as error:
        raise Misfit([f"the answer is not JSON: {error}"]) from None
    try:
        misfits = _misfits(data, schema, "the answer does not fit the schema")
    except _Unusable as error:
        raise SchemaMismatch(str(error)) from None
    if misfits:
        raise Misfit(misfits)
    return data


def check_input(text: str, schema: dict[str, Any]) -> None:
    """Raise UsageError unless a prompt is JSON that fits."""
    data = parse_json(text, "the prompt, which the input_schema describes,")
    try:
        misfits = _misfits(data, schema, "the prompt does not fit the input_schema")
    except _Unusable as error:
        raise UsageError(str(error)) from None
    if misfits:
        raise UsageError(misfits[0])


class _Unusable(Exception):
    """The schema cannot be applied."""


def _misfits(data: Any, schema: dict[str, Any], complaint: str) -> list[str]:
    """Return the complaint, where and why data do not fit, for the first few places."""
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    try:
        validator = validator_for(schema)(schema, registry=_known_schemas())
        found = list(islice(validator.iter_errors(data), _MOST_MISFITS))
    except (RecursionError, Unresolvable) as error:
        raise _Unusable(f"the schema cannot be applied: {error}") from None
    return [
        f"{complaint} at {each.json_path}: {without_middle(each.message, _LONGEST_REASON)}"
        for each in found
    ]
