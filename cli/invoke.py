"""What `run` and `continue` share: from options to a run."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clew.core.approvals import Answers
from clew.core.errors import Cancelled, UsageError

from . import output
from .app import App
from .approve import decider
from .live import JsonLive, TextLive
from .prompt import read_prompt, read_stdin
from .run_options import RunOptions
from .show import check_output, say_what_was_found, show, show_stopped
from .signals import INTERRUPTS

if TYPE_CHECKING:
    from clew.core.agent import Agent, Invocation
    from clew.core.exchange import Limits
    from clew.core.history import HistoryPolicy
    from clew.core.session import StateChange
    from clew.core.store import Waiting
    from clew.core.tools import Tool


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
    answers: Answers = Answers()
    inherited: Mapping[str, Any] = field(default_factory=dict)


def invoke(app: App, target: Target, options: RunOptions) -> int:
    """Run once, show it, and return the exit code."""
    from clew.core.agent import Agent

    check_output(app, options)
    _refuse_own_session(target, options)
    prompt = _prompt(app, target, options)
    if not prompt.strip() and target.resume is None and not options["files"]:
        raise UsageError("there is no prompt", hint='say what to send: clew run "…", or pipe it in')
    agent = Agent(
        model=_model(app, target, options),
        system=_system(target, options),
        output_schema=_schema(options),
        tools=_tools(target, options),
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
        show_stopped(live, options)
        raise
    except BaseException:
        live.end()
        raise
    live.end()
    if target.new and not options["no_store"]:
        app.note(f"session {result.session_id}")
    say_what_was_found(app, result)
    return show(app, result, live, options)


def _refuse_own_session(target: Target, options: RunOptions) -> None:
    """A command that a run started would wait for that run, which waits for the command."""
    inside = os.environ.get("CLEW_RUN") and os.environ.get("CLEW_SESSION") == target.session_id
    if inside and (target.serial or target.resume is not None or _history(target, options).on):
        raise UsageError(
            f"this command was started by a run of session {target.session_id}, which waits for it",
            hint="change the session's state, or run in another session",
        )


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

    return read_text(text[1:], what) if text.startswith("@") else text


def _schema(options: RunOptions) -> dict[str, Any] | None:
    from clew.core.answer_schema import parse_schema

    return None if options["schema"] is None else parse_schema(options["schema"])


def _model_options(target: Target, options: RunOptions) -> dict[str, Any]:
    import json

    from clew.core.state import storable_value
    from clew.core.text import is_secret_name

    given: dict[str, Any] = dict(target.inherited.get("option") or {})
    for key, text in options["option"]:
        if key in _CLEWS_OWN:
            raise UsageError(f"--option {key}: not a model option", hint=_OWN_HINT)
        if is_secret_name(key) or key in _ADDRESSES:
            raise UsageError(
                f"--option {key}: not a model option",
                hint="keys and addresses come from the environment",
            )
        try:
            value = json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            value = text
        given[key] = storable_value(value, f"--option {key}")
        if _has_secret(value):
            raise UsageError(
                f"--option {key}: there is a key in it", hint="keys come from the environment"
            )
    return given


def _has_secret(value: Any) -> bool:
    from clew.core.text import is_secret_name

    if isinstance(value, dict):
        return any(is_secret_name(key) or _has_secret(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_secret, value))


_ADDRESSES = frozenset({"base_url", "api_base", "extra_headers", "headers"})
_CLEWS_OWN = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "timeout",
        "request_timeout",
        "n",
        "num_retries",
        "max_retries",
        "fallbacks",
        "context_window_fallback_dict",
        "mock_response",
        "custom_llm_provider",
        "deployment_id",
        "model_list",
    ]
)
"""Which model answers, how often it is asked, and how it is read: the run's line tells all that."""
_OWN_HINT = "clew sets it itself; see --retries, --timeout and --stream"


def _tools(target: Target, options: RunOptions) -> "list[Tool]":
    sources = options["tools"] or target.inherited.get("tool") or ()
    if not sources:
        return []
    from clew.core.text import storable
    from clew.core.tool_specs import tools_of

    output.keep_stdout()
    return [tool for source in sources for tool in tools_of(storable(source))]


def _limits(app: App, options: RunOptions) -> "Limits":
    from clew.core.exchange import Limits

    settings = app.settings
    return Limits(
        seconds=settings.value("timeout", options["timeout"]),
        tokens=options["max_total_tokens"],
        cost=settings.value("max_cost", options["max_cost"]),
        turns=options["max_turns"],
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
    from clew.core.process import this_process

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
        decide=decider(options["approve"]),
        answers=target.answers,
        environment=app.environment,
        process=this_process(),
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
