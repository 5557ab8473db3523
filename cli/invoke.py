"""What `run` and `continue` share: from options to a run, from a run to output and exit code."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clew.core.errors import Cancelled, StoreError, UsageError

from . import output
from .app import App
from .live import JsonLive, TextLive, say_how_it_ended, say_usage
from .options import RunOptions
from .prompt import read_prompt, read_stdin
from .signals import INTERRUPTS

if TYPE_CHECKING:
    from clew.core.agent import Agent, Invocation
    from clew.core.exchange import Limits
    from clew.core.history import HistoryPolicy
    from clew.core.lines import RunLine
    from clew.core.result import RunOutput
    from clew.core.session import StateChange
    from clew.core.store import Waiting


@dataclass(frozen=True)
class Target:
    """Where a run belongs, and what it goes on with."""

    user: str
    session_id: str | None
    session_name: str | None = None
    new: bool = False
    history: bool = False
    serial: bool = False
    resume: str | None = None
    inherited: Mapping[str, Any] = field(default_factory=dict)


def invoke(app: App, target: Target, options: RunOptions) -> int:
    """Run once, show it, and return the exit code."""
    from clew.core.agent import Agent

    _check_output_file(options)
    prompt = _prompt(app, target, options)
    if not prompt.strip() and target.resume is None and not options["files"]:
        raise UsageError("there is no prompt", hint='say what to send: clew run "…", or pipe it in')
    agent = Agent(
        model=_model(app, target, options),
        system=_system(target, options),
        output_schema=_schema(options),
        options=_model_options(target, options),
        limits=_limits(app, options),
    )
    live = _live(options)
    how = _invocation(app, target, options, live)
    if options["dry_run"]:
        return _preview(agent, prompt, how, options)
    try:
        result = agent.invoke(prompt, how)
    except (Cancelled, KeyboardInterrupt):
        live.end()
        _show_stopped(live.line, options)
        raise
    except BaseException:
        live.end()
        raise
    live.end()
    if target.new and not options["no_store"]:
        app.note(f"session {result.session_id}")
    _say_what_was_found(app, result)
    return _show(app, result, live, options)


def _prompt(app: App, target: Target, options: RunOptions) -> str:
    return read_prompt(
        options["words"],
        may_read=not options["no_stdin"],
        resuming=target.resume is not None,
        stdin_is_file="-" in options["files"],
        note=app.note,
    )


def _model(app: App, target: Target, options: RunOptions) -> str:
    from clew.core.models import DEFAULT_MODEL

    inherited = target.inherited.get("model")
    name = options["model"] or inherited or app.settings.value("model") or DEFAULT_MODEL
    if name == DEFAULT_MODEL and options["model"] is None:
        app.note(f"model {name} (embedded; -m chooses another)")
    elif inherited and options["model"] is None and options["verbose"]:
        app.note(f"model {name} (inherited)")
    return str(name)


def _system(target: Target, options: RunOptions) -> str | None:
    text = options["system"]
    if text is None:
        return target.inherited.get("system")
    return _text_or_file(text, "--system")


def _text_or_file(text: str, what: str) -> str:
    from clew.core.answer_schema import read_text
    from clew.core.text import storable

    return read_text(text[1:], what) if text.startswith("@") else storable(text)


def _schema(options: RunOptions) -> dict[str, Any] | None:
    from clew.core.answer_schema import parse_schema

    return None if options["schema"] is None else parse_schema(options["schema"])


def _model_options(target: Target, options: RunOptions) -> dict[str, Any]:
    import json

    from clew.core.text import is_secret_name

    given: dict[str, Any] = dict(target.inherited.get("option") or {})
    for key, text in options["option"]:
        if is_secret_name(key) or key in _NOT_OPTIONS:
            raise UsageError(
                f"--option {key}: not a model option",
                hint="keys and addresses come from the environment",
            )
        try:
            given[key] = json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            given[key] = text
    return given


_NOT_OPTIONS = frozenset(
    {"model", "messages", "stream", "timeout", "base_url", "api_base", "extra_headers", "headers"}
)


def _limits(app: App, options: RunOptions) -> "Limits":
    from clew.core.exchange import Limits

    settings = app.settings
    return Limits(
        seconds=settings.value("timeout", options["timeout"]),
        tokens=options["max_total_tokens"],
        cost=settings.value("max_cost", options["max_cost"]),
        answer_tokens=options["max_tokens"],
        retries=settings.value("retries", options["retries"]),
    )


def _history(target: Target, options: RunOptions) -> "HistoryPolicy":
    from clew.core.history import HistoryPolicy

    limits = (options["history_runs"], options["history_messages"], options["history_tokens"])
    on = target.history or any(limit is not None for limit in limits)
    if options["history"] is not None:
        on = options["history"]
    return HistoryPolicy(on, *limits)


def _change(options: RunOptions) -> "StateChange":
    from clew.core.session import StateChange
    from clew.core.state import parse_object

    if options["state"] is not None and options["state_replace"] is not None:
        raise UsageError("--state and --state-replace exclude each other")
    for name in ("state", "state_replace"):
        text = options["state"] if name == "state" else options["state_replace"]
        if text is not None:
            flag = f"--{name.replace('_', '-')}"
            value = parse_object(_text_or_file(text, flag), flag)
            return StateChange(patch=value) if name == "state" else StateChange(replacement=value)
    return StateChange()


def _waiting(app: App, options: RunOptions) -> "Waiting":
    from clew.core.store import Waiting

    seconds = app.settings.value("wait", options["wait"])
    return Waiting(seconds, lambda holder: app.note(f"waiting: {holder} has the session"))


def _live(options: RunOptions) -> TextLive | JsonLive:
    if options["output_format"] == "stream-json":
        return JsonLive()
    plain = options["output_format"] in (None, "text") and options["output_file"] is None
    streams = options["stream"] if options["stream"] is not None else sys.stdout.isatty()
    prints = plain and streams and options["schema"] is None
    return TextLive(prints=prints, quiet=options["quiet"], verbose=options["verbose"])


def _invocation(
    app: App, target: Target, options: RunOptions, live: TextLive | JsonLive
) -> "Invocation":
    from clew.core.agent import Invocation
    from clew.core.attachments import from_bytes, load

    files = [
        from_bytes(read_stdin(), "-") if path == "-" else load(path) for path in options["files"]
    ]
    return Invocation(
        store=app.store,
        session_id=target.session_id,
        session_name=target.session_name,
        user_id=target.user,
        run_id=options["run_id"],
        history=_history(target, options),
        files=files,
        change=_change(options),
        metadata=dict(options["meta"]),
        resume=target.resume,
        serial=target.serial,
        keep=not options["no_store"],
        stream=options["stream"] is not False,
        home=app.home,
        waiting=_waiting(app, options),
        on_event=live,
        shield=INTERRUPTS.shield,
    )


def _preview(agent: "Agent", prompt: str, how: "Invocation", options: RunOptions) -> int:
    plan = agent.preview(prompt, how)
    shown = {
        "model": str(agent.model),
        "messages": plan.messages,
        "history": plan.history.record,
        "options": agent.options,
        "schema": agent.output_schema,
    }
    if options["output_format"] in ("json", "stream-json"):
        output.record(shown)
    else:
        output.pretty(shown)
    return 0


def _say_what_was_found(app: App, result: "RunOutput") -> None:
    for problem in result.problems:
        output.note(str(problem))
    for run in result.recovered:
        output.note(f"run {run['run_id']} had died and was stored as INTERRUPTED")
    left = result.line["history"]["left_out"]
    if left:
        turns = "turn" if left == 1 else "turns"
        app.note(f"{left} earlier {turns} not sent")


def _show(app: App, result: "RunOutput", live: TextLive | JsonLive, options: RunOptions) -> int:
    from clew.core.events import Announcer

    line = result.line
    completed = line["status"] == "COMPLETED"
    if options["output_format"] == "stream-json":
        if result.repeated:
            Announcer(live, result.run_id, result.session_id).again(line)
    elif options["output_file"] is not None and completed:
        _write_file(options["output_file"], _result_text(result, options))
    elif options["output_format"] == "json":
        output.line(line)
    elif not live.started and (completed or result.store_error):
        output.answer(_result_text(result, options).rstrip("\n"))
    if not app.quiet or line["exit_code"]:
        say_how_it_ended(line, repeated=result.repeated)
    if result.store_error is not None:
        output.complain(result.store_error)
    if app.settings.value("usage", True if options["usage"] else None):
        say_usage(line, app.settings.value("color", options["color"]))
    return result.exit_code


def _show_stopped(line: "RunLine | None", options: RunOptions) -> None:
    """Show a run that a signal stopped."""
    if line is None:
        return
    if options["output_format"] == "json":
        output.line(line)
    say_how_it_ended(line, repeated=False)


def _result_text(result: "RunOutput", options: RunOptions) -> str:
    import json

    from clew.core.lines import encode

    if options["output_format"] == "json":
        return encode(result.line).decode("ascii")
    if options["schema"] is not None and result.line["data"] is not None:
        return json.dumps(result.data, ensure_ascii=False) + "\n"
    return result.content.rstrip("\n") + "\n"


def _check_output_file(options: RunOptions) -> None:
    """Refuse, before anything is paid for, a file that could not be written afterwards."""
    path = options["output_file"]
    if path is not None and options["output_format"] == "stream-json":
        raise UsageError("-O takes an answer, not a stream of events", hint="redirect stdout")
    if path is None or _is_special(path):
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"-O: cannot write {path!r}", hint="name a file in a folder that exists")


def _is_special(path: str) -> bool:
    """Tell whether this is a pipe or a device: it is written to, never replaced."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _write_file(path: str, text: str) -> None:
    from clew.stores.files import replace_file

    data = text.encode("utf-8", "replace")
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    try:
        if _is_special(path):
            with open(path, "wb") as file:
                file.write(data)
        else:
            replace_file(os.path.realpath(path), data, mode)
    except OSError as error:
        output.answer(text)
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
