"""A workflow as it is run: its parts, how it was called, and what its steps may have to be told."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .invocation import Invocation
from .steps import Command, Node, Router, Step
from .tools import ToolSpec

CHOICE = "choice"
"""What somebody is asked for who takes the choice of a router."""


@dataclass(frozen=True)
class Flow:
    """A workflow that is run: its parts, how it was called, and what its steps are told.

    `history` returns the last executions, so many at most; `tells_history` is whether steps that do
    not say otherwise are told of `num_history_runs` of them.
    """

    nodes: Sequence[Node]
    how: Invocation
    params: Mapping[str, Any]
    history: Callable[[int], str]
    tells_history: bool
    num_history_runs: int
    agent: Step | None = None
    """Who is asked before the steps whether they are to run."""


def step_spec(part: Step | Router) -> ToolSpec:
    """Return what a part of a workflow may have to be told, as if it were a tool."""
    shape: dict[str, Any] = {"type": "object", "properties": {}}
    if isinstance(part, Router):
        known = [str(choice.name) for choice in part.choices]
        one: dict[str, Any] = {"enum": known}
        one_or_more = {"if": {"type": "array"}, "then": {"items": one}, "else": one}
        shape["properties"] = {CHOICE: {"description": ", ".join(known), **one_or_more}}
    elif part.pause.user_input is not None:
        shape = dict(part.pause.user_input)
    command = None
    if isinstance(part, Step) and isinstance(part.does, Command):
        command = shlex.join(part.does.argv)
    return ToolSpec(str(part.name), part.description, shape, command=command)
