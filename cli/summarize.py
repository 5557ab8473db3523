"""What a model is asked about a session: after a run, and by `clew sessions summarize`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from clew.core.errors import NotFoundError

from . import output
from .app import App
from .options import json_option, not_empty, one_session
from .signals import INTERRUPTS

if TYPE_CHECKING:
    from clew.core.defined import Defined
    from clew.core.invocation import Invocation
    from clew.core.lines import Line
    from clew.core.result import RunOutput
    from clew.core.store import SessionLog
    from clew.core.upkeep import Done, Job

    from .status import StatusLine


def tend(
    app: App,
    what: "Defined",
    result: "RunOutput",
    how: "Invocation",
    color: str | None,
    status: "StatusLine | None",
) -> None:
    """Have made what is wanted after a run; say what did not come of it.

    With a `color`, what it used is said too.
    """
    for done in _shown(what, what.tend(result, how), status):
        if done.error is not None:
            named = done.line is not None and done.line["name"]
            told = "named after its prompt" if named else f"no {done.what} was made"
            app.note(f"{told}: {' '.join(done.error.message.split())}")
        if done.line is not None and color is not None and "metrics" in done.line:
            from .live import usage

            output.note(f"{done.what}: {usage(done.line['metrics'])}", color=color)


def _shown(
    what: "Defined", made: "Iterator[Done]", status: "StatusLine | None"
) -> "Iterator[Done]":
    """Yield what is made, one after the other, and show what a model is asked for."""
    from clew.core.agent import Agent

    if status is None or not isinstance(what, Agent) or not what.tends:
        yield from made
        return
    wishes = {
        "naming the session": what.autogenerate_session_name,
        "summarizing the conversation": what.enable_session_summaries,
    }
    output.make_way_for(status)
    try:
        for wish in filter(wishes.get, wishes):
            status.show(wish)
            done = next(made, None)
            status.hide()
            if done is not None:
                yield done
    finally:
        status.end()


@click.command("summarize", short_help="Have a model summarize a session.")
@one_session
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    callback=not_empty,
    help="The model; otherwise the session's own.",
)
@json_option("Print the stored line of the summary.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr on success.")
@click.pass_obj
def command(
    app: App,
    *,
    session: str | None,
    user: str | None,
    model: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Have a session's summary brought up to date, and print it.

    The model gets the summary so far and the turns since. Without new turns it is not asked. How an
    agent has this done by itself, and has the summary sent: see enable_session_summaries.

    \b
    Example:
      clew sessions summarize @trip
    """
    from clew.core.session import tip_after
    from clew.core.session_summary import latest
    from clew.core.upkeep import summarize

    app.quiet = quiet
    log = app.choose(session, app.user(user))
    log.recover()
    line = summarize(log, asked_by_hand(app, log, model)) or latest(log, tip_after(log.last()))
    app.warn_of_problems(log)
    if line is None:
        raise NotFoundError(f"session {log.session_id} has no completed turn to summarize")
    if as_json:
        output.line(line)
    else:
        output.answer(line["summary"] or "")


def name_by_model(app: App, log: "SessionLog", model: str | None) -> "Line":
    """Have a session named by a model, and return the line that says so."""
    from clew.core.upkeep import name_session

    job = asked_by_hand(app, log, model)
    line, error = name_session(app.store, log, job, unless_named=False)
    if error is not None:
        app.note(f"named after its prompt: {' '.join(error.message.split())}")
    if line is None:
        raise NotFoundError(f"session {log.session_id} has no completed turn to name it after")
    return line


def asked_by_hand(app: App, log: "SessionLog", model: str | None) -> "Job":
    """Return how a model is asked when somebody wants it: this one, else the session's own."""
    from clew.core.inherit import inherited
    from clew.core.limits import Limits
    from clew.core.models import DEFAULT_MODEL, resolve
    from clew.core.upkeep import Job

    app.may_ask()
    before = inherited(log, None)
    name = model or before.get("model") or app.settings.value("model") or DEFAULT_MODEL
    settings = app.settings
    return Job(
        model=resolve(str(name), store=app.store, user_id=log.user_id, home=app.home),
        limits=Limits(
            seconds=settings.value("timeout"),
            cost=settings.value("max_cost"),
            retries=settings.value("retries"),
        ),
        options={} if model is not None else dict(before.get("option") or {}),
        shield=INTERRUPTS.shield,
    )
