"""What an MCP tool gives, as text: a model that reads text is told truly what else there was."""

import json
from typing import Any


def as_text(result: Any) -> str:
    """Return the content of a result; data in `structuredContent` that it does not tell is added.

    Servers are to send such data as text, too, but not all do, and some send it in other words.
    """
    parts = [_block(block) for block in result.content]
    text = "\n".join(parts)
    data = result.structured_content
    if data is not None and not all(_tells(text, each) for each in _atoms(data)):
        parts.append(json.dumps(data, ensure_ascii=False))
    return "\n".join(parts)


def _block(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return _left_out(block.type, block.mime_type, block.data)
        case "resource":
            return _resource(block.resource)
        case "resource_link":
            what = f", {block.mime_type}" if block.mime_type else ""
            return f"[link to {block.name}: {block.uri}{what}]"
        case other:
            return f"[{other}: not shown]"


def _resource(resource: Any) -> str:
    text = getattr(resource, "text", None)
    if text is not None:
        return f"[{resource.uri}]\n{text}"
    return _left_out(str(resource.uri), resource.mime_type, resource.blob)


def _left_out(what: str, mime: str | None, data: str) -> str:
    size = len(data) * 3 // 4 - data[-2:].count("=")
    return f"[{what}{f', {mime}' if mime else ''}, {size} bytes: not shown]"


def _atoms(data: Any) -> list[Any]:
    """Return the keys and values that stand in data; the key `result` only wraps a value."""
    if isinstance(data, dict):
        keys = [key for key in data if key != "result" or len(data) > 1]
        return [*keys, *(atom for value in data.values() for atom in _atoms(value))]
    if isinstance(data, list):
        return [atom for value in data for atom in _atoms(value)]
    return [data]


def _tells(text: str, atom: Any) -> bool:
    forms = [json.dumps(atom, ensure_ascii=ascii_only) for ascii_only in (False, True)]
    if isinstance(atom, str):
        forms = [atom, *(form[1:-1] for form in forms)]
    return any(form in text for form in forms)
