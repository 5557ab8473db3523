"""The state of a session: merging, comparing, and reaching into it by a path.

The state is a JSON object without null members: null means absent. Changes are JSON merge patches
(RFC 7396).
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

from .errors import NotFoundError, UsageError
from .lines import State
from .text import storable

_DEEPEST = 100
_INDEX = r"0|[1-9][0-9]{0,8}"


def parse_json(text: str, what: str) -> Any:
    """Return the JSON value of `text`; raise UsageError, naming `what`, if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UsageError(f"{what} is not JSON: {reason}") from None
    return storable_value(value, what)


def parse_object(text: str, what: str) -> State:
    """Return the JSON object of `text`; raise UsageError, naming `what`, if it is none."""
    value = parse_json(text, what)
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a JSON object", hint='write it like {"key": "value"}')
    return value


def storable_value(value: Any, what: str, depth: int = 0) -> Any:
    """Return `value` as every reader of JSON takes it back; raise UsageError where it cannot be."""
    if depth > _DEEPEST:
        raise UsageError(f"{what} is nested more than {_DEEPEST} levels deep")
    if isinstance(value, dict):
        return {
            storable(str(key)): storable_value(item, what, depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [storable_value(item, what, depth + 1) for item in value]
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{what} holds a number that JSON cannot: {value}")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise UsageError(f"{what} holds a {type(value).__name__}, which JSON cannot")


def without_nulls(value: Any) -> Any:
    """Return `value` without null members, at every depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def clean_patch(patch: State) -> State:
    """Return `patch` with nulls only where they remove something."""
    return {
        key: clean_patch(item)
        if isinstance(item, dict)
        else (without_nulls(item) if isinstance(item, list) else item)
        for key, item in patch.items()
    }


def merge(state: State, patch: State) -> State:
    """Return `state` with `patch` applied: objects merge, lists are replaced, null removes."""
    result = dict(state)
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict):
            old = result.get(key)
            result[key] = merge(old if isinstance(old, dict) else {}, change)
        else:
            result[key] = change
    return result


def compose(first: State, then: State) -> State:
    """Return the merge patch that does what `first` and after it `then` do."""
    result = dict(first)
    for key, change in then.items():
        before = result.get(key)
        if not isinstance(change, dict) or key not in result:
            result[key] = change
        elif isinstance(before, dict):
            result[key] = compose(before, change)
        else:
            result[key] = without_nulls(change)
    return result


def difference(old: State, new: State) -> State:
    """Return the merge patch that makes `new` out of `old`."""
    patch: State = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = difference(before, value)
            if inner:
                patch[key] = inner
        elif not (key in old and same(before, value)):
            patch[key] = value
    return patch


def merge_all(state: State, patches: Iterable[State]) -> State:
    """Return `state` with the patches applied, one after the other."""
    return reduce(merge, patches, state)


def conflicts(
    patches: Sequence[State], *, agreeing: bool = False
) -> list[tuple[tuple[str, ...], list[int]]]:
    """Return the paths that several patches change, and which patches.

    Where all make the same of it, only if `agreeing` is asked for: of two that count up from the
    same number, one is lost.
    """
    found: dict[tuple[str, ...], set[int]] = {}
    earlier: list[tuple[tuple[str, ...], Any, int]] = []
    for number, patch in enumerate(patches):
        changes = [(path, value, number) for path, value in _leaves(patch)]
        for path, value, _ in changes:
            for other, its_value, its_number in earlier:
                shared = min(len(path), len(other))
                if path[:shared] == other[:shared]:
                    if path == other and not agreeing and same(value, its_value):
                        continue
                    found.setdefault(path[:shared], set()).update((its_number, number))
        earlier += changes
    return [(path, sorted(numbers)) for path, numbers in found.items()]


def only(patch: State, path: Sequence[str]) -> State:
    """Return what the patch does at this path, which it changes, and nothing else."""
    key, *further = path
    return {key: only(patch[key], further) if further else patch[key]}


def _leaves(patch: State, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in patch.items():
        path = (*above, key)
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def same(left: Any, right: Any) -> bool:
    """Tell whether both are the same JSON: unlike in Python, `1`, `1.0` and `true` differ."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def parse_path(path: str) -> list[str]:
    """Return the keys of a path: dotted (`plan.steps.0`) or a JSON Pointer (`/plan/steps/0`).

    Raises UsageError for a path with an empty part, which is nearly always a slip.
    """
    pointer = path.startswith("/")
    parts = path[1:].split("/") if pointer else path.split(".")
    if len(parts) > _DEEPEST:
        raise UsageError(f"the path has {len(parts)} parts; {_DEEPEST} is the most")
    if pointer:
        return [part.replace("~1", "/").replace("~0", "~") for part in parts]
    if "" in parts:
        raise UsageError(
            f"{path!r} is not a path into the state",
            hint="write key, key.inner, list.0 or a JSON Pointer like /key/in.ner",
        )
    return parts


def get_path(state: State, path: str) -> Any:
    """Return what stands at `path`; raise NotFoundError if nothing does."""
    value: Any = state
    for key in parse_path(path):
        try:
            value = (
                value[_index(value, key, path)] if isinstance(value, list) else _member(value, key)
            )
        except (LookupError, UsageError):
            raise NotFoundError(f"nothing stands at {path!r} in the state") from None
    return value


def set_path(state: State, path: str, value: Any) -> State:
    """Return `state` with `value` at `path`, missing objects on the way made.

    Null removes. Raises UsageError where the way leads through something that is no object and no
    list.
    """
    if value is None:
        with suppress(NotFoundError):
            return unset_path(state, path)
        return state
    changed: State = _changed(state, parse_path(path), path, lambda _old: value)
    return changed


def unset_path(state: State, path: str) -> State:
    """Return `state` without what stands at `path`; raise NotFoundError if nothing does."""
    get_path(state, path)
    changed: State = _changed(state, parse_path(path), path, lambda _old: _GONE)
    return changed


_GONE = object()


def _changed(container: Any, keys: list[str], path: str, change: Any) -> Any:
    key, rest = keys[0], keys[1:]
    if isinstance(container, list):
        items = list(container)
        position = len(items) if key == "-" else _index(items, key, path, room=1)
        old = items[position] if position < len(items) else {}
        new = _changed(old, rest, path, change) if rest else change(old)
        items[position : position + 1] = [] if new is _GONE else [new]
        return items
    if not isinstance(container, dict):
        raise UsageError(
            f"{path!r} leads through {json.dumps(container)[:40]}, which has no members",
            hint="unset that first, or choose another path",
        )
    members = dict(container)
    new = _changed(members.get(key, {}), rest, path, change) if rest else change(members.get(key))
    if new is _GONE or new is None:
        members.pop(key, None)
    else:
        members[key] = new
    return members


def _member(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise KeyError(key)
    return value[key]


def _index(items: list[Any], key: str, path: str, room: int = 0) -> int:
    if re.fullmatch(_INDEX, key) and int(key) < len(items) + room:
        return int(key)
    raise UsageError(
        f"{path!r}: {key!r} is not a position in a list of {len(items)}",
        hint="positions count from 0; - stands for a new last one",
    )
