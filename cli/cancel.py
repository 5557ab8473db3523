"""`clew cancel`: stop a run that another process makes."""

import os
import signal
import time
from typing import TYPE_CHECKING

import click

from clew.core.errors import BusyError, NotFoundError, UsageError

from . import output
from .app import App
from .options import DURATION, json_option, not_empty, session_option, user_option

if TYPE_CHECKING:
    from clew.core.lines import RunLine
    from clew.core.store import InFlight, SessionLog

_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.05


@click.command("cancel")
@click.argument("run", metavar="[RUN]", required=False, callback=not_empty)
@session_option()
@user_option()
@click.option(
    "--wait", metavar="DUR", type=DURATION, help="Wait so long for its end (default 10 s)."
)
@json_option("Print the line that was stored for the run.")
@click.pass_obj
def command(
    app: App,
    *,
    run: str | None,
    session: str | None,
    user: str | None,
    wait: float | None,
    as_json: bool,
) -> None:
    """Stop a run that another clew makes: it is stored as CANCELLED, with what came of its answer.

    Without RUN the one that is under way in the session is meant; with the RUN of a team's member
    the team's. `clew continue --resume` goes on with a cancelled run.

    \b
    Examples:
      clew cancel -s trip
      clew cancel 7f3c2a10-1b2c-8d3e-9f40-5a6b7c8d9e0f
    """
    owner = app.user(user)
    log = app.choose(session, owner) if run is None or session else _session_of(app, run, owner)
    flight = _under_way(log, run)
    _stop(flight)
    line = _wait_for_end(log, flight, _WAIT_SECONDS if wait is None else wait)
    if as_json:
        output.line(line)
    output.note(f"run {line['run_id']} is {line['status']}")


def _session_of(app: App, run: str, user: str) -> "SessionLog":
    """Return the session in which this run is under way."""
    for log in app.store.under_way(user):
        if any(flight.line["run_id"] == run for flight in log.in_flight()):
            return log
    raise NotFoundError(f"no run {run!r} is under way", hint="`clew sessions list` shows what is")


def _under_way(log: "SessionLog", run: str | None) -> "InFlight":
    running = [flight for flight in log.in_flight() if flight.running]
    named = [flight.line for flight in running if run in (None, flight.line["run_id"])]
    # A run inside another ends with the one that somebody asked for.
    asked = {line["root_run_id"] or line["run_id"] for line in named}
    meant = [flight for flight in running if flight.line["run_id"] in asked]
    if len(meant) == 1:
        return meant[0]
    if meant:
        shown = ", ".join(flight.line["run_id"] for flight in meant)
        raise UsageError(f"{len(meant)} runs are under way in {log.session_id}", hint=shown)
    what = "no run" if run is None else f"no run {run!r}"
    raise NotFoundError(f"{what} is under way in session {log.session_id}")


def _stop(flight: "InFlight") -> None:
    from clew.core.process import is_near

    process, run = flight.process, flight.line["run_id"]
    if process is None:
        raise UsageError(f"run {run} is not made by a clew command", hint="stop its program")
    if not is_near(process):
        raise UsageError(
            f"run {run} is made by process {process['pid']} on {process['host']}, out of reach",
            hint="cancel it there",
        )
    try:
        os.kill(process["pid"], signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError:
        raise UsageError(f"process {process['pid']} belongs to another user") from None


def _wait_for_end(log: "SessionLog", flight: "InFlight", seconds: float) -> "RunLine":
    """Return the run as it ended."""
    run = flight.line["run_id"]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        left = next((one for one in log.in_flight() if one.line["run_id"] == run), None)
        if left is None:
            for line in log.newest():
                if line["type"] == "run" and line["run_id"] == run:
                    return line
        elif not left.running:
            return left.line
        time.sleep(_LOOK_SECONDS)
    raise BusyError(f"run {run} was told to stop and has not ended yet", hint="wait, or look again")
