"""From a run to output and exit code."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from clew.core.errors import StoreError, UsageError
from clew.core.session import is_top_run

from . import output
from .app import App
from .live import JsonLive, TextLive, say_how_it_ended, say_usage
from .run_options import RunOptions

if TYPE_CHECKING:
    from clew.core.result import RunOutput


def say_what_was_found(app: App, result: "RunOutput") -> None:
    """Tell people what was damaged, recovered or left out."""
    app.say_problems(result.problems)
    for run in filter(is_top_run, result.recovered):
        output.note(f"run {run['run_id']} had died and was stored as INTERRUPTED")
    _say_what_still_waits(app, result)
    history = result.line["history"]
    which = "it" if history["left_out"] == 1 else f"{history.get('summarized')} of them"
    summary = f"; a summary stands for {which}" if history.get("summarized") else ""
    for what, left, then in (
        ("turn", history["left_out"], summary),
        ("tool call", history.get("tool_calls_left_out"), ""),
    ):
        if left:
            app.note(f"{left} earlier {what if left == 1 else f'{what}s'} not sent{then}")
    for one in history.get("attachments_left_out", []):
        app.note(f"attachment {one['name']!r} not sent: {one['reason']}")


def _say_what_still_waits(app: App, result: "RunOutput") -> None:
    pauses = result.line["session_metrics"].get("open_pauses", [])
    for paused in pauses:
        if paused == result.run_id:
            continue
        if (how := _decided_by_time(app, result, paused)) is not None:
            app.note(f"run {paused} waited too long; --resume={paused} has it decided: {how}")
            continue
        # Without --resume it would be the latest that is settled.
        which = "" if paused == pauses[-1] else f"--resume={paused} with "
        app.note(f"run {paused} is still paused; {which}--confirm or --reject settles it")


def _decided_by_time(app: App, result: "RunOutput", run_id: str) -> str | None:
    """Return what was to become of a paused run that nobody has settled in time, if it is one."""
    from clew.core.approvals import expired
    from clew.core.chain import follow

    log = app.store.session(result.session_id, result.line["user_id"])
    chain = follow(log, run_id)
    late = [one for one in chain.tip["requirements"] if expired(one)] if chain else []
    return late[0]["on_timeout"] if late else None


def show(app: App, result: "RunOutput", live: TextLive | JsonLive, options: RunOptions) -> int:
    """Print a run in the form that was asked for, and return the exit code."""
    line = result.line
    _give(result, live, options)
    if not app.quiet or line["exit_code"]:
        say_how_it_ended(line, repeated=result.repeated)
    if result.store_error is not None:
        output.complain(result.store_error)
    if _wants_usage(app, options):
        say_usage(line, color_of(app, options))
    return result.exit_code


def _give(result: "RunOutput", live: TextLive | JsonLive, options: RunOptions) -> None:
    """Print what stdout, or the output file, is to have of a run, and does not have yet."""
    from clew.core.events import Announcer

    completed = result.line["status"] == "COMPLETED"
    if options["output_format"] == "stream-json":
        if result.repeated:
            kind = result.line["kind"]
            Announcer(live, result.run_id, result.session_id, kind).again(result.line)
    elif options["output_file"] is not None and completed:
        _write_file(options["output_file"], _result_text(result, options))
    elif options["output_format"] == "json":
        output.line(result.line)
    elif not live.started and (completed or result.store_error):
        output.answer(_result_text(result, options))


def color_of_usage(app: App, options: RunOptions) -> str | None:
    """Return how what a run used is coloured, None if it is not to be told."""
    return color_of(app, options) if _wants_usage(app, options) else None


def _wants_usage(app: App, options: RunOptions) -> bool:
    return bool(app.settings.value("usage", True if options["usage"] else None))


def color_of(app: App, options: RunOptions) -> str:
    """Return whether stderr is to be coloured: auto, always or never."""
    return str(app.settings.value("color", options["color"]))


def show_stopped(live: TextLive | JsonLive, options: RunOptions) -> None:
    """Show a run that a signal stopped, or that was completed all the same."""
    from clew.core.result import RunOutput

    line = live.line
    if line is None:
        return
    _give(RunOutput(line), live, options)
    say_how_it_ended(line, repeated=False)
    if line["seq"] is not None:
        output.note(f"session {line['session_id']}")


def _result_text(result: "RunOutput", options: RunOptions) -> str:
    import json

    from clew.core.lines import encode

    if options["output_format"] == "json":
        return encode(result.line).decode("ascii")
    if result.line["data"] is not None and result.line["kind"] != "workflow":
        return json.dumps(result.data, ensure_ascii=False) + "\n"
    return result.content.rstrip("\n") + "\n"


def check_output(app: App, options: RunOptions) -> None:
    """Refuse, before anything is paid for, what could not be shown or written afterwards."""
    _wants_usage(app, options)
    color_of(app, options)
    _check_file(options)


def _check_file(options: RunOptions) -> None:
    path = options["output_file"]
    if path is not None and options["output_format"] == "stream-json":
        raise UsageError("-O takes an answer, not a stream of events", hint="redirect stdout")
    if path is not None and options["dry_run"]:
        raise UsageError("-O takes an answer, and --dry-run gets none")
    if path is None or _is_special(path):
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"-O: cannot write {path!r}", hint="name a file in a folder that exists")


def _is_special(path: str) -> bool:
    """Tell whether this is a pipe, a device or an open file: it is written to, never replaced."""
    if os.path.abspath(path).startswith(("/dev/", "/proc/")):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _open_as(path: str) -> int | None:
    """Return 1 or 2 if the path is what that stands for, such as /dev/stdout."""
    with suppress(OSError):
        status = os.stat(path)
        return next((fd for fd in (1, 2) if os.path.samestat(status, os.fstat(fd))), None)
    return None


def _write_file(path: str, text: str) -> None:
    from clew.stores.files import replace_file, write_all

    data = text.encode("utf-8", "replace")
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    try:
        already_open = _open_as(path)
        if already_open is not None:
            write_all(already_open, data)
        elif _is_special(path):
            with open(path, "ab", buffering=0) as file:
                file.write(data)
        else:
            replace_file(os.path.realpath(path), data, mode)
    except OSError as error:
        output.answer(text)
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
