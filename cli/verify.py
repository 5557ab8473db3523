"""`clew sessions verify`: whether the files are as clew wrote them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import click

from clew.core.errors import UsageError

from . import output
from .app import App
from .options import all_option, json_option, one_session

if TYPE_CHECKING:
    from clew.core.store import Problem
    from clew.stores.session_file import SessionFile

DAMAGED = 65


@click.command("verify", short_help="Check sessions for damage.")
@one_session
@all_option()
@json_option("Print what is wrong as JSON, an object a line.")
@click.pass_obj
def command(
    app: App,
    *,
    session: str | None,
    user: str | None,
    everything: bool,
    as_json: bool,
) -> int:
    """Check every line of a session, or of all of them.

    A line has to be whole and in its place, its run there only once, its state and totals what the
    lines before it make of them. What is wrong is printed with file, line number and reason; the
    exit code then is 65. Nothing is changed.

    \b
    Example:
      clew sessions verify --all
    """
    from clew.stores.verify import verify

    sessions = problems = 0
    unread = output.Unread()
    for log in session_files(app, session, user, everything):
        sessions += 1
        with unread.told():
            for problem in verify(log):
                problems += 1
                tell(problem, as_json)
    output.note(f"sessions checked: {sessions}, problems found: {problems}")
    return DAMAGED if problems else unread.exit_code


def tell(problem: "Problem", as_json: bool) -> None:
    """Print what is wrong with a line."""
    if as_json:
        output.record({"path": problem.path, "line": problem.line, "reason": problem.reason})
    else:
        output.result(output.shown(f"{problem.path}:{problem.line}: {problem.reason}\n"))


def session_files(
    app: App, ref: str | None, user: str | None, everything: bool
) -> "Iterator[SessionFile]":
    """Yield the sessions that are meant: all of a user, or one."""
    if everything and ref is not None:
        raise UsageError("--all and a session exclude each other")
    if not app.store.keeps:
        raise UsageError("this store has no files")
    owner = app.user(user)
    logs = app.store.sessions(owner) if everything else iter([app.choose(ref, owner)])
    for log in logs:
        yield cast("SessionFile", log)
