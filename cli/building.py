"""From options, and what a session hands on, to an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clew.core.approvals import Answers

from . import output
from .app import App
from .run_options import RunOptions

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.exchange import Limits
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


def build(app: App, target: Target, options: RunOptions) -> "Agent":
    """Return the agent that is to run."""
    from clew.core.agent import Agent

    return Agent(
        model=_model(app, target, options),
        system=_system(target, options),
        output_schema=_schema(options),
        tools=_tools(target, options),
        options=_model_options(target, options),
        limits=_limits(app, options),
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
    return text_or_file(text, "--system")


def text_or_file(text: str, what: str) -> str:
    """Return what an option is given: the text, or with @ a file's."""
    from clew.core.answer_schema import read_text

    return read_text(text[1:], what) if text.startswith("@") else text


def _schema(options: RunOptions) -> dict[str, Any] | None:
    from clew.core.answer_schema import parse_schema

    return None if options["schema"] is None else parse_schema(options["schema"])


def _model_options(target: Target, options: RunOptions) -> dict[str, Any]:
    from clew.core.model_options import checked, parsed

    given: dict[str, Any] = dict(target.inherited.get("option") or {})
    for key, text in options["option"]:
        given[key] = checked(key, parsed(text), f"--option {key}")
    return given


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
