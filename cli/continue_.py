"""`clew continue`: go on with a conversation, or with a run that did not end well."""

from typing import Any, Unpack

import click

from .app import App
from .invoke import Target, invoke
from .options import OptionalValue, RunOptions, run_options, session_option


class ContinueOptions(RunOptions):
    """The options of `continue`."""

    resume: str | None


@click.command(
    "continue", cls=OptionalValue, short_help="Go on with a session, its history included."
)
@session_option()
@click.option(
    "--resume",
    metavar="[=RUN]",
    help="Go on with a failed, cancelled or interrupted run (the last one) where it stopped.",
)
@run_options
@click.pass_obj
def command(app: App, **options: Unpack[ContinueOptions]) -> int:
    """Go on with a session: its earlier completed turns are sent along.

    Which session: -s, else $CLEW_SESSION, else the one used last in this terminal, else the one
    used last anywhere. Model, --system and --option are inherited from its last completed run.
    What does not fit the model's window is left out, oldest first, and said.

    \b
    Examples:
      clew continue "And in German?"
      clew continue -s trip --history-runs 3 "Shorter, please."
      clew continue --resume
    """
    from clew.core.chain import resumable
    from clew.core.inherit import inherited

    app.quiet = options["quiet"]
    user = app.user(options["user"])
    log = app.choose(options["session"], user)
    resume = None
    if options["resume"] is not None:
        resume = resumable(log, options["resume"] or None)
    settings: dict[str, Any] = inherited(log, resume)
    app.warn_of_problems(log)
    target = Target(
        user,
        log.session_id,
        options["name"],
        history=True,
        serial=True,
        resume=resume,
        inherited=settings,
    )
    return invoke(app, target, options)
