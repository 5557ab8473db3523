"""`clew continue`: go on with a conversation, or with a run that did not end well."""

import shlex
from typing import TYPE_CHECKING, Any, Unpack

import click

from clew.core.approvals import Answers

from . import output
from .app import App
from .invoke import invoke
from .options import PAIR, OptionalValue, session_option
from .run_options import RunOptions, run_options
from .target import Target, wanted

if TYPE_CHECKING:
    from clew.core.store import SessionLog


class ContinueOptions(RunOptions):
    """The options of `continue`."""

    resume: str | None
    confirm: tuple[str, ...]
    reject: tuple[str, ...]
    note: str | None
    answer: tuple[tuple[str, str], ...]
    result: tuple[tuple[str, str], ...]


@click.command("continue", cls=OptionalValue)
@session_option()
@click.option(
    "--resume",
    metavar="[=RUN]",
    help="Go on with a failed, cancelled or interrupted run (the last one) where it stopped.",
)
@click.option(
    "--confirm",
    metavar="[=CALL]",
    multiple=True,
    help="Let the tool calls or steps run that the latest paused run waits with, or this one.",
)
@click.option(
    "--reject", metavar="[=CALL]", multiple=True, help="Do not let them run; --note says why."
)
@click.option("--note", metavar="TEXT", help="What the model is told beside the decision.")
@click.option(
    "--answer",
    metavar="K=V",
    type=PAIR,
    multiple=True,
    help="A value that a tool call or a step asks for.",
)
@click.option(
    "--result",
    metavar="CALL=TEXT",
    type=PAIR,
    multiple=True,
    help="The result of a tool call that is made elsewhere; what a step is to have come to.",
)
@run_options
@click.pass_obj
def command(app: App, **options: Unpack[ContinueOptions]) -> int:
    """Go on with a session: its earlier completed turns are sent along.

    Which session: -s, else $CLEW_SESSION, else the one used last in this terminal, else the one
    used last anywhere. What is run and its params, model, --system, --tool and --option are
    inherited from its last run that is completed or paused. What does not fit the model's window is
    left out, oldest first, and said.

    \b
    Examples:
      clew continue "And in German?"
      clew continue -s trip --history-runs 3 "Shorter, please."
      clew continue --resume
      clew continue --reject --note "Not on a Friday."
    """
    from clew.core.inherit import inherited

    app.quiet = options["quiet"]
    user = app.user(options["user"])
    log = app.choose(options["session"], user)
    answers = _answers(options)
    resume = _resume(log, options, answers)
    settings: dict[str, Any] = inherited(log, resume)
    if not settings and wanted(options) is None:
        _say_what_is_left_behind(app, log)
    app.warn_of_problems(log)
    target = Target(
        user,
        log.session_id,
        options["name"],
        history=True,
        serial=True,
        resume=resume,
        answers=answers,
        inherited=settings,
    )
    return invoke(app, target, options)


def _say_what_is_left_behind(app: App, log: "SessionLog") -> None:
    """Tell that what a session ran is not run again, where none of its runs ended well."""
    from clew.core.inherit import left_behind

    run = left_behind(log)
    source = (run["options"] or {}).get(run["kind"]) if run is not None else None
    if run is not None and source is not None:
        app.note(
            f"no run of the {run['kind']} {run['name']!r} ended well here: it is not run again"
        )
        output.hint(f"--{run['kind']} {shlex.quote(source)} runs it, --resume goes on with it")


def _resume(log: "SessionLog", options: ContinueOptions, answers: Answers) -> str | None:
    """Return the run to go on with, if one is to be gone on with."""
    from clew.core.chain import open_pause, resumable, resumed_by

    if options["resume"] is None and not answers.given:
        return None
    named = options["resume"] or resumed_by(log, options["run_id"])
    return open_pause(log, named) if answers.given else resumable(log, named)


def _answers(options: ContinueOptions) -> Answers:
    from clew.core.errors import UsageError
    from clew.core.text import storable

    answers = Answers(
        confirm=options["confirm"],
        reject=options["reject"],
        note=storable(options["note"]) if options["note"] else None,
        fields={name: storable(value) for name, value in options["answer"]},
        results=dict(options["result"]),
    )
    if answers.note is not None and not answers.given:
        raise UsageError("--note goes with --confirm, --reject, --answer or --result")
    return answers
