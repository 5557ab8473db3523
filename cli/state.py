"""`clew state`: what a session remembers as JSON."""

import json
import os
from collections.abc import Callable
from typing import Any, cast

import click

from clew.core.errors import NotFoundError, UsageError
from clew.core.ids import shorten
from clew.core.lines import Line, RunLine, State, StateLine
from clew.core.store import SessionLog

from . import output
from .app import App
from .options import F, json_option, session_option, user_option
from .prompt import read_stdin


class _StateGroup(click.Group):
    """`clew state` with no subcommand prints; its options may stand before or after a
    subcommand."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands:
            raise UsageError(
                f"state has no command {name!r}",
                hint="to read one value: clew state get " + name + "; for all: clew state --help",
            )
        return super().resolve_command(ctx, args)


def _where(function: F) -> F:
    function = click.option(
        "-q", "--quiet", is_flag=True, help="Do not say which session was chosen."
    )(function)
    return session_option()(user_option()(function))


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
    return _where(function)


class _Place:
    """Which session a state command means: its own options go before the group's."""

    def __init__(self, app: App, session: str | None, user: str | None) -> None:
        self.app = app
        self.session = session
        self.user = user


@click.group(
    "state",
    cls=_StateGroup,
    invoke_without_command=True,
    short_help="Read and change a session's state.",
)
@_where
@json_option("Print {session_id, seq, session_state}.")
@click.option("--at", metavar="RUN|SEQ", help="The state after that run, or after that line.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    session: str | None,
    user: str | None,
    as_json: bool,
    at: str | None,
    quiet: bool,
) -> None:
    """Print a session's state, or change it.

    The state is a JSON object that belongs to the session; runs and scripts share it. A PATH is
    dotted (plan.steps.0) or a JSON Pointer (/plan/steps/0). A null member means: remove it.

    \b
    Examples:
      clew state set city=Lyon visits:=1
      clew state update '.visits += 1'
      clew state get city -r
      clew state -s trip --json | jq .session_state
    """
    app: App = ctx.obj
    app.quiet = app.quiet or quiet
    ctx.obj = _Place(app, session, user)
    if ctx.invoked_subcommand is not None:
        if at is not None or as_json:
            raise UsageError("--at and --json belong behind the subcommand")
        return
    _print_state(ctx.obj, None, None, at, as_json)


def _print_state(
    place: _Place, session: str | None, user: str | None, at: str | None, as_json: bool
) -> None:
    line, session_id = _standing(place, session, user, at)
    state = line["session_state"] if line else {}
    if as_json:
        seq = line["seq"] if line else 0
        output.record({"session_id": session_id, "seq": seq, "session_state": state})
    else:
        output.pretty(state)


def _standing(
    place: _Place, session: str | None, user: str | None, at: str | None
) -> tuple[Line | None, str]:
    """Return the line whose state is meant, and the session's id."""
    app = place.app
    log = app.choose(session or place.session, app.user(user or place.user))
    line = next(log.newest(), None) if at is None else _line_at(log.newest(), at)
    app.warn_of_problems(log)
    return line, log.session_id


def _line_at(lines: Any, at: str) -> Line:
    for line in lines:
        run_id = cast(RunLine, line)["run_id"] if line["type"] == "run" else None
        if at in (run_id, str(line["seq"])):
            return cast(Line, line)
    raise NotFoundError(f"there is no run and no line {shorten(at)!r} in this session")


@command.command("get", short_help="Print one value.")
@click.argument("path")
@click.option("--default", metavar="TEXT", help="Print this where nothing stands at PATH.")
@click.option("-r", "--raw", is_flag=True, help="Print a text without quotes.")
@click.option("--at", metavar="RUN|SEQ", help="The state after that run, or after that line.")
@_where
@click.pass_obj
def get(
    place: _Place,
    *,
    path: str,
    default: str | None,
    raw: bool,
    at: str | None,
    session: str | None,
    user: str | None,
    quiet: bool,
) -> None:
    """Print the value at PATH as JSON. Nothing there: exit 3, unless --default is given.

    \b
    Example:
      clew state get plan.steps.0 -r --default none
    """
    from clew.core.state import get_path
    from clew.core.text import storable

    place.app.quiet = place.app.quiet or quiet
    line, _ = _standing(place, session, user, at)
    try:
        value = get_path(line["session_state"] if line else {}, storable(path))
    except NotFoundError:
        if default is None:
            raise
        output.answer(default)
        return
    text = value if raw and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    output.result(output.shown(text) + "\n")


def _change(
    place: _Place,
    change: Any,
    *,
    session: str | None,
    user: str | None,
    as_json: bool,
    create: bool,
    if_seq: int | None,
    quiet: bool,
) -> None:
    """Write one state line; `change` is a StateChange, or a function from the old state to the
    new."""
    from clew.core.session import state_draft

    app = place.app
    app.quiet = app.quiet or quiet
    owner = app.user(user or place.user)
    ref = session or place.session
    log, name = _created(app, ref, owner) if create else (app.choose(ref, owner), None)
    for run in log.recover():
        output.note(f"run {run['run_id']} had died and was stored as INTERRUPTED")
    by = os.environ.get("CLEW_RUN") or None
    line = log.append(state_draft(change, by=by, only_if=if_seq, create=create))
    if name is not None:  # only now: a change that fails makes no session
        app.store.rename(log.session_id, owner, name)
    app.warn_of_problems(log)
    if as_json:
        line = line or log.last()
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


@command.command("set", short_help="Set values.")
@click.argument("assignments", metavar="PATH=TEXT|PATH:=JSON...", nargs=-1, required=True)
@_writing
@click.pass_obj
def set_(place: _Place, /, *, assignments: tuple[str, ...], **where: Any) -> None:
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


@command.command("unset", short_help="Remove values.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@_writing
@click.pass_obj
def unset(place: _Place, /, *, paths: tuple[str, ...], **where: Any) -> None:
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


@command.command("update", short_help="Change the state with a jq program.")
@click.argument("program")
@_writing
@click.pass_obj
def update(place: _Place, /, *, program: str, **where: Any) -> None:
    """Put what a jq program makes of the state in its place, while nobody else can change it.

    \b
    Example:
      clew state update '.visits += 1 | .seen |= (. + ["Lyon"] | unique)'
    """
    import jq

    from clew.core.state import difference, merge, storable_value
    from clew.core.text import storable

    try:
        compiled = jq.compile(storable(program))
    except ValueError as error:
        raise UsageError(f"the jq program is wrong: {' '.join(str(error).split())}") from None

    def change(state: State) -> State:
        try:
            results = compiled.input_value(state).all()
        except ValueError as error:
            raise UsageError(f"the jq program failed: {error}") from None
        if len(results) != 1 or not isinstance(results[0], dict):
            raise UsageError(
                "the jq program must give exactly one object",
                hint="change members with |= or =, like '.n += 1'",
            )
        # jq's numbers are doubles: taken from it is only what differs from what it was given.
        new = storable_value(results[0], "the new state")
        return merge(state, difference(jq.compile(".").input_value(state).first(), new))

    _change(place, _from_old(change), **where)


@command.command("patch", short_help="Merge a JSON object into the state.")
@click.argument("patch", required=False)
@_writing
@click.pass_obj
def patch_(place: _Place, /, *, patch: str | None, **where: Any) -> None:
    """Merge a JSON object (RFC 7396), from the argument or standard input: null removes.

    \b
    Example:
      clew state patch '{"city": "Lyon", "old": null}'
    """
    from clew.core.session import StateChange
    from clew.core.state import parse_object

    value = parse_object(_argument(patch), "the patch")
    _change(place, StateChange(patch=value), **where)


@command.command("replace", short_help="Put a JSON object in place of the state.")
@click.argument("state", required=False)
@_writing
@click.pass_obj
def replace(place: _Place, /, *, state: str | None, **where: Any) -> None:
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
        return read_stdin().decode("utf-8", "replace")
    return storable(given)


@command.command("log", short_help="Show the changes of the state.")
@json_option()
@_where
@click.pass_obj
def log(
    place: _Place, *, as_json: bool, session: str | None, user: str | None, quiet: bool
) -> None:
    """Show every change of the state, oldest first: what changed, when, and by which run.

    \b
    Example:
      clew state log --json | jq -c '[.seq, .state_patch]'
    """
    app = place.app
    app.quiet = app.quiet or quiet
    session_log = app.choose(session or place.session, app.user(user or place.user))
    for line in session_log.lines():
        if line["type"] in ("run", "state") and cast(StateLine, line).get("state_patch"):
            _print_change(line, as_json)
    app.warn_of_problems(session_log)


def _print_change(line: Line, as_json: bool) -> None:
    by = line["run_id"] if line["type"] == "run" else cast(StateLine, line).get("by")
    change = {
        "seq": line["seq"],
        "created_at": line["created_at"],
        "by": by,
        "state_patch": cast(StateLine, line)["state_patch"],
    }
    if as_json:
        output.record(change)
    else:
        patch = json.dumps(change["state_patch"], ensure_ascii=False)
        who = f" · run {by}" if by else ""
        when = line["created_at"].replace("T", " ")[:16]
        output.result(output.shown(f"{line['seq']} · {when}{who}\n  {patch}\n"))
