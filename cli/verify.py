"""`clew sessions verify`: whether the files are as clew wrote them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import click

from clew.core.errors import UsageError

from . import output
from .app import App
from .options import json_option, session_option, user_option

if TYPE_CHECKING:
    from clew.core.store import Problem
    from clew.stores.session_file import SessionFile

_DAMAGED = 65


@click.command("verify", short_help="Check sessions for damage.")
@session_option()
@user_option()
@click.option("--all", "everything", is_flag=True, help="All sessions of this user.")
@json_option("Print what is wrong as JSON, an object a line.")
@click.pass_obj
def command(
    app: App, *, session: str | None, user: str | None, everything: bool, as_json: bool
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

    if everything and session is not None:
        raise UsageError("--all and -s exclude each other")
    if not app.store.keeps:
        raise UsageError("this store has no files")
    owner = app.user(user)
    sessions = problems = 0
    for log in _logs(app, session, owner, everything):
        sessions += 1
        for problem in verify(log):
            problems += 1
            _print(problem, as_json)
    output.note(f"sessions checked: {sessions}, problems found: {problems}")
    return _DAMAGED if problems else 0


def _print(problem: "Problem", as_json: bool) -> None:
    if as_json:
        output.record({"path": problem.path, "line": problem.line, "reason": problem.reason})
    else:
        output.result(output.shown(f"{problem.path}:{problem.line}: {problem.reason}\n"))


def _logs(app: App, session: str | None, user: str, everything: bool) -> "Iterator[SessionFile]":
    logs = app.store.sessions(user) if everything else iter([app.choose(session, user)])
    for log in logs:
        yield cast("SessionFile", log)
