"""`clew sessions repair`: have a damaged session work again."""

from typing import TYPE_CHECKING

import click

from . import output
from .app import App
from .options import all_option, json_option, one_session
from .verify import DAMAGED, session_files, tell

if TYPE_CHECKING:
    from clew.stores.repair import Repair


@click.command("repair", short_help="Move what is damaged out of a session's file.")
@one_session
@all_option()
@json_option("Print what was done as JSON, an object for each damaged session.")
@click.pass_obj
def command(
    app: App,
    *,
    session: str | None,
    user: str | None,
    everything: bool,
    as_json: bool,
) -> int:
    """Move what is no line of a session out of its file, into SESSION.torn beside it.

    Good lines stay as they are, byte for byte; the file as it was is kept as SESSION.TIME.original;
    a line at the end tells what was moved and where lines are missing. What cannot be mended this
    way is printed, as `verify` does, and the exit code then is 65.

    \b
    Example:
      clew sessions repair trip
    """
    from clew.stores.repair import repair
    from clew.stores.verify import verify

    mended = left = 0
    unread = output.Unread()
    for log in session_files(app, session, user, everything):
        with unread.told():
            done = repair(log)
            if done.moved or done.gaps:
                mended += 1
                _print(log.session_id, done, as_json)
            for problem in verify(log):
                left += 1
                tell(problem, as_json)
    output.note(f"sessions repaired: {mended}, problems left: {left}")
    return DAMAGED if left else unread.exit_code


def _print(session_id: str, done: "Repair", as_json: bool) -> None:
    if as_json:
        moved = [{"line": problem.line, "reason": problem.reason} for problem in done.moved]
        gaps = [list(gap) for gap in done.gaps]
        output.record(
            {"session_id": session_id, "moved": moved, "gaps": gaps, "original": done.original}
        )
        return
    for problem in done.moved:
        where = f"{problem.path}:{problem.line}"
        output.result(output.shown(f"{where}: moved aside: {problem.reason}\n"))
    for before, after in done.gaps:
        output.result(f"session {session_id}: lines are missing between seq {before} and {after}\n")
    if done.original is not None:
        output.note(f"the file as it was: {done.original}")
