"""What `run` and `continue` share: from options to a run."""

import os
import sys
from typing import TYPE_CHECKING

from clew.core.errors import Cancelled, UsageError
from clew.core.events import LastKept

from . import output
from .app import App
from .approve import decider
from .building import build
from .live import JsonLive, TextLive
from .nesting import refuse_to_wait
from .preview import preview
from .prompt import read_prompt, read_stdin
from .run_options import RunOptions
from .show import (
    check_output,
    color_of,
    color_of_usage,
    say_what_was_found,
    show,
    show_stopped,
)
from .signals import INTERRUPTS
from .summarize import tend
from .target import Built, Target, text_or_file

if TYPE_CHECKING:
    from clew.core.attachments import Attachment
    from clew.core.events import Listener
    from clew.core.invocation import Invocation
    from clew.core.limits import Limits
    from clew.core.lines import State
    from clew.core.session import StateChange
    from clew.core.store import Waiting

    from .status import StatusLine


def invoke(app: App, target: Target, options: RunOptions) -> int:
    """Run once, show it, and return the exit code."""
    check_output(app, options)
    app.may_ask()
    built = build(app, target, options)
    what = built.what
    if target.serial or target.resume is not None or built.history.on:
        refuse_to_wait(target.session_id)
    prompt = _prompt(app, target, options)
    live = _live(app, options, built)
    last = LastKept(live)
    listener = last if what.tends else live
    files = [_attachment(path, live, what.limits) for path in options["files"]]
    how = _invocation(app, target, options, listener, built, files)
    if options["dry_run"]:
        return preview(app, built, prompt, how, options)
    live.begin(built.starts)
    try:
        result = what.invoke(prompt, how)
    except (Cancelled, KeyboardInterrupt):
        last.tell()
        live.end()
        show_stopped(live, options)
        raise
    except BaseException:
        live.end()
        raise
    live.end()
    try:
        if target.new and not options["no_store"]:
            app.note(f"session {result.session_id}")
        say_what_was_found(app, result)
        code = show(app, result, live, options)
        status = None if options["output_format"] == "stream-json" else _status(app, options)
        tend(app, what, result, how, color_of_usage(app, options), status)
    finally:
        last.tell()
    return code


def _attachment(path: str, live: TextLive | JsonLive, limits: "Limits") -> "Attachment":
    from clew.core.attachments import from_bytes, load

    if path == "-":
        return from_bytes(read_stdin(), "-")  # somebody may be typing it: nothing is drawn
    with live.meanwhile("attachments"):
        return load(path, limits.seconds)


def _prompt(app: App, target: Target, options: RunOptions) -> str:
    prompt = read_prompt(
        options["words"],
        may_read=not options["no_stdin"],
        resuming=target.resume is not None,
        stdin_is_file="-" in options["files"],
        note=app.note,
    )
    if not prompt.strip() and target.resume is None and not options["files"]:
        raise UsageError("there is no prompt", hint='say what to send: clew run "…", or pipe it in')
    if options["files"].count("-") > 1:
        raise UsageError("-f - stands twice, and standard input can be read only once")
    return prompt


def _change(options: RunOptions) -> "StateChange":
    from clew.core.session import StateChange
    from clew.core.state import parse_object

    def given(text: str, flag: str) -> "State":
        return parse_object(text_or_file(text, flag), flag)

    merged, whole = options["state"], options["state_replace"]
    if merged is not None and whole is not None:
        raise UsageError("--state and --state-replace exclude each other")
    if merged is not None:
        return StateChange(patch=given(merged, "--state"))
    if whole is not None:
        return StateChange(replacement=given(whole, "--state-replace"))
    return StateChange()


def _waiting(app: App, options: RunOptions) -> "Waiting":
    from clew.core.store import Waiting

    seconds = app.settings.value("wait", options["wait"])
    return Waiting(seconds, lambda holder: app.note(f"waiting: {holder} has the session"))


def _live(app: App, options: RunOptions, built: Built) -> TextLive | JsonLive:
    if options["output_format"] == "stream-json":
        return JsonLive()
    plain = options["output_format"] in (None, "text") and options["output_file"] is None
    streams = options["stream"] if options["stream"] is not None else sys.stdout.isatty()
    prints = plain and streams and built.streams
    return TextLive(
        prints=prints,
        quiet=options["quiet"],
        verbose=options["verbose"],
        status=_status(app, options),
    )


def _status(app: App, options: RunOptions) -> "StatusLine | None":
    """Return a status line where there is a terminal for it, and somebody who wants one."""
    on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    plain = os.environ.get("TERM", "dumb") == "dumb" or not output.escapes(color_of(app, options))
    if options["quiet"] or not on_terminal or plain:
        return None
    from .status import StatusLine

    return StatusLine()


def _invocation(
    app: App,
    target: Target,
    options: RunOptions,
    listener: "Listener",
    built: Built,
    files: list["Attachment"],
) -> "Invocation":
    from clew.core.invocation import Invocation
    from clew.core.process import this_process

    return Invocation(
        store=app.store,
        session_id=target.session_id,
        session_name=target.session_name,
        user_id=target.user,
        run_id=options["run_id"],
        history=built.history,
        files=files,
        change=_change(options),
        system=built.system,
        params=dict(built.params),
        source=built.source,
        metadata=dict(options["meta"]),
        resume=target.resume,
        serial=target.serial,
        keep=not options["no_store"],
        stream=options["stream"] is not False,
        home=app.home,
        waiting=_waiting(app, options),
        decide=decider(options["approve"]),
        answers=target.answers,
        environment=app.environment,
        process=this_process(),
        on_event=listener,
        shield=INTERRUPTS.shield,
    )
