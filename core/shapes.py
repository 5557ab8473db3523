"""The shape of plain data, checked fast: a line is checked each time it is read.

A shape is a type, a dictionary of shapes by key (`key?` may be missing), a list of one shape, a
tuple of shapes of which one has to fit, or what tells itself whether a value fits: a shape that
holds itself is told so. `object` fits anything. A number is never a boolean, and never larger than
what every reader of JSON has exactly.
"""

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]
LARGEST = 2**53
"""Of a number: any reader of JSON has it exactly, and sums do not overflow."""


def fitting(shape: Any) -> Check:
    """Return what tells whether a value has this shape."""
    if isinstance(shape, dict):
        return _object({key: fitting(inner) for key, inner in shape.items()})
    if isinstance(shape, list):
        return _list(fitting(shape[0]))
    if isinstance(shape, tuple):
        return _one_of(shape)
    if shape is object:
        return lambda _value: True
    if not isinstance(shape, type):
        return shape  # type: ignore[no-any-return]
    return _of_types(frozenset([shape]))


def members(shape: dict[str, Any]) -> Callable[[dict[str, Any]], str | None]:
    """Return what names the first key of an object that is missing or wrong, None if none is."""
    checks = [
        (key.removesuffix("?"), fitting(inner), key.endswith("?")) for key, inner in shape.items()
    ]

    def first_wrong(value: dict[str, Any]) -> str | None:
        for key, fits, may_be_missing in checks:
            if key not in value:
                if not may_be_missing:
                    return key
            elif not fits(value[key]):
                return key
        return None

    return first_wrong


def _object(checks: dict[str, Check]) -> Check:
    required = [(key, fits) for key, fits in checks.items() if not key.endswith("?")]
    optional = [(key[:-1], fits) for key, fits in checks.items() if key.endswith("?")]

    def fits_object(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, fits in required:
            if key not in value or not fits(value[key]):
                return False
        return not optional or all(key not in value or fits(value[key]) for key, fits in optional)

    return fits_object


def _list(fits: Check) -> Check:
    return lambda value: type(value) is list and all(map(fits, value))


def _one_of(shapes: tuple[Any, ...]) -> Check:
    if all(isinstance(shape, type) for shape in shapes):
        return _of_types(frozenset(shapes))
    checks = [fitting(shape) for shape in shapes]
    return lambda value: any(fits(value) for fits in checks)


def _of_types(types: frozenset[type]) -> Check:
    if not types & {int, float}:
        return lambda value: type(value) in types
    return lambda value: type(value) in types and (value is None or -LARGEST <= value <= LARGEST)
