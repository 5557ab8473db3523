"""`clew state`: what a session remembers as JSON."""

import json
from typing import Any, cast

import click

from clew.core.errors import NotFoundError, UsageError
from clew.core.lines import Line, RunLine, StateLine
from clew.core.text import shorten

from . import output
from .app import App
from .groups import Group
from .options import json_option, not_empty
from .place import Place, where

_CHANGES = {
    "set": "state_change:set_",
    "unset": "state_change:unset",
    "update": "state_change:update",
    "patch": "state_change:patch_",
    "replace": "state_change:replace",
}
_at = click.option(
    "--at",
    metavar="RUN|SEQ",
    callback=not_empty,
    help="The state after that run, or after that line.",
)


class _StateGroup(Group):
    """`clew state` alone prints; its options may stand before or after a subcommand."""

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


@click.group(
    "state",
    cls=_StateGroup,
    elsewhere=_CHANGES,
    invoke_without_command=True,
)
@where
@json_option("Print {session_id, seq, session_state}.")
@_at
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
    ctx.obj = Place(app, session, user)
    if ctx.invoked_subcommand is not None:
        if at is not None or as_json:
            raise UsageError("--at and --json belong behind the subcommand")
        return
    _print_state(ctx.obj, None, None, at, as_json)


def _print_state(
    place: Place, session: str | None, user: str | None, at: str | None, as_json: bool
) -> None:
    line, session_id = _standing(place, session, user, at)
    state = line["session_state"] if line else {}
    if as_json:
        seq = line["seq"] if line else 0
        output.record({"session_id": session_id, "seq": seq, "session_state": state})
    else:
        output.pretty(state)


def _standing(
    place: Place, session: str | None, user: str | None, at: str | None
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
@_at
@where
@click.pass_obj
def get(
    place: Place,
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


@command.command("log", short_help="Show the changes of the state.")
@json_option()
@where
@click.pass_obj
def log(place: Place, *, as_json: bool, session: str | None, user: str | None, quiet: bool) -> None:
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
