"""The names of a workflow's parts: checked, made up where there are none, and each its own."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from .errors import UsageError
from .steps import Command, Condition, Loop, Node, Parallel, Router, Step, Steps, inside, kind_of
from .text import shorten

_LONGEST = 100
_PARTS = (Step, Steps, Parallel, Condition, Loop, Router)
_NOT_IN_NAMES = "/:"


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield the parts and what they hold, in the order in which they stand; holders come first."""
    for node in nodes:
        yield node
        for group in inside(node):
            yield from walk(group)


def named(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the parts with a name each that no other part of the workflow has.

    A name given by hand goes before one that is made up, the first of several equal ones before the
    others. Raises UsageError for what is no part of a workflow, and for a bad name.
    """
    parts = list(walk(_checked(nodes)))
    given = {step_name(part.name) for part in parts if part.name is not None}
    taken: set[str] = set()
    names: dict[int, str] = {}
    for number, part in enumerate(parts):
        if part.name is not None:
            name = part.name if part.name not in taken else _free(part.name, taken | given)
            names[number] = name
            taken.add(name)
    for number, part in enumerate(parts):
        if part.name is None:
            names[number] = _free(_made_up(part), taken)
            taken.add(names[number])
    # The parts are rebuilt in the order in which `walk` saw them.
    in_order = iter([names[number] for number in range(len(parts))])
    return _renamed(nodes, in_order)


def step_name(name: Any) -> str:
    """Return a name given by hand; raise UsageError if a step cannot be called so."""
    if isinstance(name, str) and name and _fitting(name) == name:
        return name
    raise UsageError(
        f"{shorten(name) if isinstance(name, str) else name!r} is not a step's name",
        hint=f"1 to {_LONGEST} printable characters without / and :, no dot at the beginning",
    )


def name_beside(part: Node, nodes: Sequence[Node]) -> str:
    """Return what a part without a name is called that none of these, which have names, holds."""
    return _free(_made_up(part), {str(node.name) for node in walk(nodes)})


def _checked(nodes: Any) -> Sequence[Node]:
    """Return the parts; raise UsageError if they, or any that they hold, are something else."""
    if isinstance(nodes, str) or not isinstance(nodes, Sequence):
        given = shorten(" ".join(repr(nodes).split()))
        raise UsageError(f"the steps of a workflow are a list, not {given}")
    for node in nodes:
        if not isinstance(node, _PARTS):
            given = shorten(" ".join(repr(node).split()))
            kinds = ", ".join(kind.__name__ for kind in _PARTS)
            raise UsageError(f"a part of a workflow is one of {kinds}, not {given}")
        for group in inside(node):
            _checked(group)
    return nodes


def _fitting(name: str) -> str:
    """Return what can be of this in a step's name: names make up ids, as `revise/2/editor`."""
    fit = "".join(c if c.isprintable() and c not in _NOT_IN_NAMES else "-" for c in name)
    return fit.lstrip(". ")[:_LONGEST].rstrip()


def _made_up(part: Node) -> str:
    """Return what a part without a name is called: after what it does, or after its kind."""
    kind = kind_of(part)
    if not isinstance(part, Step):
        return kind
    if isinstance(part.does, Command):
        does = os.path.basename(part.does.argv[0]) if part.does.argv else ""
    elif kind == "function":
        does = str(getattr(part.does, "__name__", ""))
    else:
        does = str(getattr(part.does, "name", None) or "")
    fit = _fitting(does)
    return kind if not fit or does == "<lambda>" else fit


def _free(name: str, taken: set[str]) -> str:
    """Return the name, or else that with the first number that makes it free."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST - len(str(number)) - 1]}-{number}"
    return free


def _renamed(nodes: Sequence[Node], names: Iterator[str]) -> tuple[Node, ...]:
    return tuple(_rebuilt(node, next(names), names) for node in nodes)


def _rebuilt(node: Node, name: str, names: Iterator[str]) -> Node:
    match node:
        case Steps() | Parallel() | Loop():
            return replace(node, name=name, steps=_renamed(node.steps, names))
        case Condition():
            then = _renamed(node.then, names)
            return replace(node, name=name, then=then, else_=_renamed(node.else_, names))
        case Router():
            return replace(node, name=name, choices=_renamed(node.choices, names))
        case Step():
            return replace(node, name=name)
