"""`clew sessions`: which sessions there are."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from clew.core.records import STATUSES

from . import output
from .app import App
from .groups import Group
from .options import COUNT_OR_ALL, SINCE, json_option, not_empty, one_session, user_option

if TYPE_CHECKING:
    from clew.core.overview import SessionOverview
    from clew.core.store import SessionLog


@click.group(
    "sessions",
    cls=Group,
    elsewhere={
        "summarize": "summarize:command",
        "verify": "verify:command",
        "repair": "repair:command",
    },
    no_args_is_help=False,
)
def command() -> None:
    """List sessions, look at one, find its file, give it a name.

    \b
    Examples:
      clew sessions list -n 5
      tail -n 1 "$(clew sessions path)" | jq .session_metrics
      clew sessions rename 3f2a trip
    """


@command.command("list", short_help="List sessions, newest first.")
@user_option()
@click.option("-n", "--count", metavar="N|all", type=COUNT_OR_ALL, help="At most N sessions.")
@click.option(
    "--status",
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only sessions whose last run ended so.",
)
@click.option(
    "--since", metavar="TIME", type=SINCE, help="Only sessions used since a date, or 2h, 7d."
)
@click.option("--name", metavar="TEXT", help="Only sessions whose name contains TEXT.")
@json_option()
@click.pass_obj
def list_(
    app: App,
    *,
    user: str | None,
    count: int | None,
    status: str | None,
    since: str | None,
    name: str | None,
    as_json: bool,
) -> int:
    """List this user's sessions, the one used last first.

    \b
    Example:
      clew sessions list --since 7d --json | jq -r '[.session_id, .first_input] | @tsv'
    """
    unread = output.Unread()
    wanted = islice(_matching(app, app.user(user), status, since, name, unread), count)
    for row in wanted:
        if as_json:
            output.record(row)
        else:
            output.result(output.shown(_for_people(row)))
    return unread.exit_code


def _matching(
    app: App,
    user: str,
    status: str | None,
    since: str | None,
    name: str | None,
    unread: output.Unread,
) -> "Iterator[SessionOverview]":
    """Yield what fits; a session that cannot be read is told of, and the others are listed."""
    from clew.core.overview import overview

    for log in app.store.sessions(user):
        with unread.told():
            row = overview(app.store, log)
            app.warn_of_problems(log)
            if since and (row["updated_at"] or "") < since:
                continue
            if status and row["status"] != status.upper():
                continue
            if name is None or name.lower() in (row["name"] or "").lower():
                yield row


def _for_people(row: "SessionOverview") -> str:
    when = (row["updated_at"] or "").replace("T", " ")[:16]
    status = "running" if row["running"] else row["status"] or "-"
    title = row["name"] or " ".join((row["first_input"] or "").split())
    runs = f"{row['runs']} run" + ("" if row["runs"] == 1 else "s")
    return f"{row['session_id']:36}  {when}  {runs:>7}  {status:11}  {title[:60]}\n"


@command.command("show", short_help="Show one session.")
@one_session
@json_option()
@click.pass_obj
def show(app: App, *, session: str | None, user: str | None, as_json: bool) -> None:
    """Show what is known of a session: its name, runs, tokens, cost, summary, and where it is.

    \b
    Example:
      clew sessions show @trip
    """
    from clew.core.overview import overview

    log = app.choose(session, app.user(user))
    known = {**overview(app.store, log), **_summed_up(log)}
    app.warn_of_problems(log)
    if as_json:
        output.record(known)
        return
    for key, value in known.items():
        text = json.dumps(value) if isinstance(value, dict) else " ".join(str(value).split())
        text = "-" if value is None else text
        output.result(output.shown(f"{key:13} {text}\n"))


def _summed_up(log: "SessionLog") -> dict[str, Any]:
    """Return the session's summary, and what it stands for."""
    from clew.core.session import tip_after
    from clew.core.session_summary import latest

    line = latest(log, tip_after(next(log.newest(), None)))
    return {
        "summary": line["summary"] if line is not None else None,
        "covers": line["covers"] if line is not None else None,
    }


@command.command("path", short_help="Print a session's file.")
@one_session
@click.pass_obj
def path(app: App, *, session: str | None, user: str | None) -> None:
    """Print the path of a session's file, for jq and other tools.

    \b
    Example:
      jq -r 'select(.type == "run") | .content' "$(clew sessions path @trip)"
    """
    from clew.core.errors import UsageError

    log = app.choose(session, app.user(user))
    if not app.store.keeps:
        raise UsageError("this store has no files")
    output.result(log.location + "\n")


@command.command("rename", short_help="Give a session a name.")
@click.argument("ref")
@click.argument("name", required=False)
@click.option("--auto", is_flag=True, help="Have a model name it, and print the name.")
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    callback=not_empty,
    help="Which model; otherwise the session's own.",
)
@user_option()
@click.pass_obj
def rename(
    app: App, *, ref: str, name: str | None, auto: bool, model: str | None, user: str | None
) -> None:
    """Name a session; -s @NAME then stands for it. A name belongs to one session: taken is exit 7.

    With --auto a model finds a name of at most five words that is free.

    \b
    Examples:
      clew sessions rename 3f2a trip
      clew sessions rename 3f2a --auto
    """
    from clew.core import ids
    from clew.core.errors import UsageError
    from clew.core.text import storable

    if auto is (name is not None) or (model is not None and not auto):
        raise UsageError("give NAME, or --auto to have a model find one (-m says which)")
    owner = app.user(user)
    log = app.choose(ref, owner)
    log.recover()
    if name is not None:
        app.store.rename(log.session_id, owner, ids.session_name(storable(name)))
        return
    from .summarize import name_by_model

    name_by_model(app, log, model)
    output.result(output.shown(f"{app.store.name_of(log.session_id, owner)}\n"))
