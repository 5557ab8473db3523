"""The commands of `clew state` that change the state: each writes one line, or none."""

from collections.abc import Callable
from typing import Any

import click

from clew.core.errors import UsageError
from clew.core.lines import State
from clew.core.store import SessionLog

from . import nesting, output
from .app import App
from .options import F, json_option
from .place import Place, where
from .signals import INTERRUPTS


def _writing(function: F) -> F:
    for option in (
        json_option("Print the new state, with session_id and seq."),
        click.option(
            "--create", is_flag=True, help="Create the session given with -s if it is missing."
        ),
        click.option(
            "--if-seq",
            metavar="N",
            type=int,
            help="Only if the session's last line is number N; else exit 7.",
        ),
    ):
        function = option(function)
    return where(function)


def _change(
    place: Place,
    change: Any,
    *,
    session: str | None,
    user: str | None,
    as_json: bool,
    create: bool,
    if_seq: int | None,
    quiet: bool,
) -> None:
    """Write one state line; `change` is a StateChange, or makes the new state of the old."""
    from clew.core.session import state_draft

    app = place.app
    app.quiet = app.quiet or quiet
    owner = app.user(user or place.user)
    ref = session or place.session
    log, name = _created(app, ref, owner) if create else (app.choose(ref, owner), None)
    for run in log.recover():
        output.note(f"run {run['run_id']} had died and was stored as INTERRUPTED")
    by, step = nesting.caller(), nesting.step()
    line = log.append(state_draft(change, by=by, only_if=if_seq, create=create, step=step))
    if name is not None:  # only now: a change that fails makes no session
        app.store.rename(log.session_id, owner, name)
    app.warn_of_problems(log)
    if as_json:
        line = log.last()
        state: State = line["session_state"] if line else {}
        seq = line["seq"] if line else 0
        output.record({"session_id": log.session_id, "seq": seq, "session_state": state})


def _created(app: App, ref: str | None, user: str) -> tuple[SessionLog, str | None]:
    from clew.core import refs
    from clew.core.text import storable

    if ref is None:
        raise UsageError("--create needs -s: which session?")
    return refs.find_or_new(app.store, storable(ref), user)


def _from_old(change: Callable[[State], State]) -> Callable[[State], State]:
    """Check what a change makes of the state before it is written."""
    from clew.core.state import storable_value

    def changed(state: State) -> State:
        value = storable_value(change(state), "the new state")
        if not isinstance(value, dict):
            raise UsageError("the new state is not a JSON object")
        return value

    return changed


@click.command("set", short_help="Set values.")
@click.argument("assignments", metavar="PATH=TEXT|PATH:=JSON...", nargs=-1, required=True)
@_writing
@click.pass_obj
def set_(place: Place, /, *, assignments: tuple[str, ...], **where: Any) -> None:
    """Set one or more values: = takes text, := takes JSON.

    \b
    Example:
      clew state set city=Lyon visits:=1 'tags:=["new"]'
    """
    from clew.core.state import parse_json, set_path
    from clew.core.text import storable

    changes: list[tuple[str, Any]] = []
    for assignment in assignments:
        path, equals, text = storable(assignment).partition("=")
        if not equals or path in ("", ":"):
            raise UsageError(f"{assignment!r} is not PATH=TEXT or PATH:=JSON")
        if path.endswith(":"):
            changes.append((path[:-1], parse_json(text, f"the value of {path[:-1]}")))
        else:
            changes.append((path, text))

    def change(state: State) -> State:
        for path, value in changes:
            state = set_path(state, path, value)
        return state

    _change(place, _from_old(change), **where)


@click.command("unset", short_help="Remove values.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@_writing
@click.pass_obj
def unset(place: Place, /, *, paths: tuple[str, ...], **where: Any) -> None:
    """Remove what stands at each PATH. Nothing there: exit 3, and nothing is changed.

    \b
    Example:
      clew state unset plan.steps
    """
    from clew.core.state import unset_path
    from clew.core.text import storable

    def change(state: State) -> State:
        for path in paths:
            state = unset_path(state, storable(path))
        return state

    _change(place, _from_old(change), **where)


@click.command("update", short_help="Change the state with a jq program.")
@click.argument("program")
@_writing
@click.pass_obj
def update(place: Place, /, *, program: str, **where: Any) -> None:
    """Put what a jq program makes of the state in its place, while nobody else can change it.

    \b
    Example:
      clew state update '.visits += 1 | .seen |= (. + ["Lyon"] | unique)'
    """
    from clew.core.jq_program import program as jq_program
    from clew.core.state import difference, merge, storable_value

    compiled = jq_program(program, apart=False)

    def change(state: State) -> State:
        with INTERRUPTS.at_once():
            results = compiled.values(state)
        if len(results) != 1 or not isinstance(results[0], dict):
            raise UsageError(
                "the jq program must give exactly one object",
                hint="change members with |= or =, like '.n += 1'",
            )
        # jq's numbers are doubles: taken from it is only what differs from what it was given.
        new = storable_value(results[0], "the new state")
        return merge(state, difference(jq_program(".", apart=False).one(state), new))

    _change(place, _from_old(change), **where)


@click.command("patch", short_help="Merge a JSON object into the state.")
@click.argument("patch", required=False)
@_writing
@click.pass_obj
def patch_(place: Place, /, *, patch: str | None, **where: Any) -> None:
    """Merge a JSON object (RFC 7396), from the argument or standard input: null removes.

    \b
    Example:
      clew state patch '{"city": "Lyon", "old": null}'
    """
    from clew.core.session import StateChange
    from clew.core.state import parse_object

    value = parse_object(_argument(patch), "the patch")
    _change(place, StateChange(patch=value), **where)


@click.command("replace", short_help="Put a JSON object in place of the state.")
@click.argument("state", required=False)
@_writing
@click.pass_obj
def replace(place: Place, /, *, state: str | None, **where: Any) -> None:
    """Replace the whole state by a JSON object, from the argument or standard input.

    \b
    Example:
      clew state replace < state.json
    """
    from clew.core.session import StateChange
    from clew.core.state import parse_object

    value = parse_object(_argument(state), "the state")
    _change(place, StateChange(replacement=value), **where)


def _argument(given: str | None) -> str:
    from clew.core.text import storable

    if given is None or given == "-":
        from .prompt import read_stdin

        return read_stdin().decode("utf-8", "replace")
    return storable(given)
