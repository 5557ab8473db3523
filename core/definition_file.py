"""A YAML file whose every value is known by its line, so that an error can say where it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import NotFoundError, UsageError
from .text import storable

Place = tuple[str | int, ...]
"""The way to a value: keys, and positions in lists."""


@dataclass(frozen=True)
class DefinitionFile:
    """A file and what is in it."""

    path: str
    data: dict[str, Any]
    _node: Any

    def line(self, place: Iterable[Any]) -> int:
        """Return the line of what stands at `place`."""
        return _locate(self._node, place)[0]

    def error(self, place: Iterable[Any], message: str, hint: str | None = None) -> UsageError:
        """Return an error that says file, line and key of what stands at `place`."""
        line, key = _locate(self._node, place)
        where = f"{self.path}:{line}" + (f": {key}" if key else "")
        return UsageError(f"{where}: {message}", hint=hint)


def read_file(path: str) -> DefinitionFile:
    """Return a file of keys and values.

    Raises NotFoundError if there is none, UsageError if it is not YAML, or has a key twice.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path!r}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"cannot read {path!r}: {reason}") from None
    node, data = _parsed(path, text)
    if not isinstance(data, dict):
        line = node.start_mark.line + 1 if node is not None else 1
        what = "the file is empty" if data is None else "these are no keys with values"
        raise UsageError(
            f"{path}:{line}: {what}", hint="write lines like `instructions: Be brief.`"
        )
    found = DefinitionFile(path, data, node)
    _refuse_doubles(found, node)
    return found


def _parsed(path: str, text: str) -> tuple[Any, Any]:
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{path}:{line}: not YAML: a character that is not allowed") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise UsageError(f"{path}{place}: not YAML: {storable(str(problem))}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UsageError(f"{path}: not YAML: {reason}") from None


def _refuse_doubles(file: DefinitionFile, root: Any) -> None:
    """YAML takes the last of several equal keys; whoever wrote them did not mean that."""
    seen: set[int] = set()
    waiting: list[tuple[Any, Place]] = [(root, ())]
    while waiting:
        node, place = waiting.pop()
        if id(node) in seen or isinstance(node.value, str):
            continue
        seen.add(id(node))
        keys: set[str] = set()
        for number, item in enumerate(node.value):
            key, value = item if isinstance(item, tuple) else (None, item)
            name = number if key is None else str(key.value)
            if key is not None and name in keys:
                line = key.start_mark.line + 1
                whole = ".".join(map(str, (*place, name)))
                raise UsageError(f"{file.path}:{line}: {whole}: this key is given twice")
            keys.add(str(name))
            waiting.append((value, (*place, name)))


def _locate(node: Any, place: Iterable[Any]) -> tuple[int, str]:
    """Return the line of the value at a place, and its key; of a missing one, of what lacks it."""
    line, keys = node.start_mark.line + 1, []
    for part in place:
        below = _below(node, part)
        if below is None:
            continue
        line, node = below
        keys.append(str(part))
    return line, ".".join(keys)


def _below(node: Any, part: Any) -> tuple[int, Any] | None:
    if isinstance(node.value, str):
        return None
    for number, item in enumerate(node.value):
        key, value = item if isinstance(item, tuple) else (None, item)
        if part == (number if key is None else key.value):
            return (key or value).start_mark.line + 1, value
    return None
