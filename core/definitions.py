"""Agents, teams and workflows that are defined in a file."""

import os
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from .building import Building, Find, Source, load_defined
from .defined import Defined
from .definition_file import DefinitionFile, read_file
from .definition_kinds import kind_of, near_of, no_step, validated
from .definition_models import AgentDefinition
from .errors import ClewError, UsageError

_VALUE = "Value error, "
_LISTS = {
    "members": "a team needs members",
    "run": "a command begins with a program's name",
    **dict.fromkeys(
        ("steps", "parallel", "then", "else", "loop", "choices"),
        "there has to be at least one step",
    ),
}


def beside(path: str) -> Find:
    """Return what finds definitions in the folder of this one."""
    folder = os.path.dirname(path)
    return lambda name, _kind: os.path.join(folder, f"{name}.yaml")


def load_file(path: str, find: Find | None = None) -> Defined:
    """Return what a file defines; `find` finds by its name what that names.

    Raises NotFoundError if there is no such file, UsageError, with the first of its errors and how
    many more there are, if it defines none.
    """
    found, errors = examine(path, find)
    if found is not None:
        return found
    if len(errors) > 1 and isinstance(errors[0], UsageError):
        more = f"{len(errors) - 1} more: clew agents validate {path}"
        hint = f"{errors[0].hint}; {more}" if errors[0].hint else more
        raise UsageError(errors[0].message, hint=hint)
    raise errors[0]


def examine(
    path: str, find: Find | None = None, above: tuple[str, ...] = ()
) -> tuple[Defined | None, list[ClewError]]:
    """Return what a file defines, or else all of its errors.

    `above` are the files of what it is in.
    """
    try:
        file = read_file(path)
    except ClewError as error:
        return None, [error]
    try:
        definition = validated(file.data)
    except ValidationError as error:
        return None, list(_errors(file, error))
    files = (*above, os.path.realpath(path))
    source = Source(file, definition.kind, find or beside(path), examine, files)
    if isinstance(definition, AgentDefinition):
        building = Building(source)
        found: Defined | None = building.agent(definition)
    else:
        from .workflow_building import WorkflowBuilding

        building = workflows = WorkflowBuilding(source)
        found = workflows.workflow(definition)
    return (None, building.errors) if building.errors else (found, [])


def examine_object(name: str) -> list[ClewError]:
    """Return what is wrong with what `module:object` names."""
    from .step_check import problems
    from .workflow import Workflow

    try:
        found = load_defined(name)
    except ClewError as error:
        return [error]
    wrong = problems(found.nodes, found.takes) if isinstance(found, Workflow) else ()
    return [
        UsageError(f"{name}: {'.'.join(map(str, each.place))}: {each.message}", hint=each.hint)
        for each in wrong
    ]


def _errors(file: DefinitionFile, error: ValidationError) -> Iterator[UsageError]:
    for each in sorted(error.errors(), key=lambda each: file.line(each["loc"])):
        place = each["loc"]
        if each["type"] == "extra_forbidden":
            hint = near_of(kind_of(file.data), place)
            yield file.error(place, "there is no such key", hint)
        else:
            yield file.error(place, *_said(each["type"], each["msg"], place, each["input"]))


def _said(error: str, message: str, place: tuple[Any, ...], given: Any) -> tuple[str, str | None]:
    """Return what is said of one of pydantic's errors, and a hint."""
    key = place[-1]
    message = message.removeprefix(_VALUE).removeprefix("Input ").replace("dictionary", "mapping")
    match error:
        case "union_tag_invalid":
            return no_step(given)
        case "invalid_key":
            message = "a key has to be a text; put it in quotes"
        case "missing":
            message = f"{key} is missing"
        case "too_short" if key in _LISTS:
            message = _LISTS[key]
        case "string_type" if isinstance(given, bool | int | float):
            return message, "put it in quotes"
        case "literal_error" if place == ("kind",):
            message = "should be 'agent', 'team' or 'workflow'"
    return message, None
