"""An agent, or a team, as options and session want it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import output
from .app import App
from .run_options import RunOptions
from .target import (
    Built,
    Target,
    first_said,
    limits_of,
    model_of,
    name_of,
    own_model,
    text_or_file,
)

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.history import HistoryPolicy
    from clew.core.tools import Tool, ToolServer


def agent_as_asked(
    app: App, target: Target, options: RunOptions, agent: "Agent", inherited: Mapping[str, Any]
) -> Built:
    """Return an agent, and what options say otherwise; `inherited` is what its last run was told.

    That is nothing where another agent ran before: what was said to that one is not for it.
    """
    schema = _schema(options)
    model = model_of(app, target, options, agent.model, agent.kind)
    own = options["model"] is None and name_of(model) == own_model(app, agent.model)
    built = replace(
        agent,
        model=model,
        # A model that was asked for never falls back to another.
        fallback_models=agent.fallback_models if own else (),
        output_schema=agent.output_schema if schema is None else schema,
        tools=[*agent.tools, *_tools(target, options)],
        options=agent.options | _model_options(target, options),
        limits=limits_of(app, options, agent.limits),
    )
    name = name_of(model) or ""
    return Built(
        built,
        _history(target, options, built),
        starts=f"tool servers, {name}" if built.servers else name,
        streams=built.output_schema is None,
        system=_system(inherited.get("system"), options),
    )


def _system(inherited: str | None, options: RunOptions) -> str | None:
    text = options["system"]
    return inherited if text is None else text_or_file(text, "--system")


def _schema(options: RunOptions) -> dict[str, Any] | None:
    from clew.core.answer_schema import parse_schema

    return None if options["schema"] is None else parse_schema(options["schema"])


def _model_options(target: Target, options: RunOptions) -> dict[str, Any]:
    from clew.core.model_options import checked, parsed

    given: dict[str, Any] = dict(target.inherited.get("option") or {})
    for key, text in options["option"]:
        given[key] = checked(key, parsed(text), f"--option {key}")
    return given


def _tools(target: Target, options: RunOptions) -> "list[Tool | ToolServer]":
    sources = options["tools"] or target.inherited.get("tool") or ()
    if not sources:
        return []
    from clew.core.loading import look_first_in
    from clew.core.text import storable
    from clew.core.tool_specs import tools_of

    output.keep_stdout()
    if not options["tools"]:
        look_first_in(str(target.inherited["cwd"]))
    return [tool for source in sources for tool in tools_of(storable(source))]


def _history(target: Target, options: RunOptions, agent: "Agent") -> "HistoryPolicy":
    from clew.core.history import HistoryPolicy

    runs, messages = options["history_runs"], options["history_messages"]
    tokens, calls = options["history_tokens"], options["history_tool_calls"]
    on = options["history"]
    summary = agent.use_of_summary if on is not False else "never"
    if on is None:
        wished = first_said(agent.add_history_to_context, target.history)
        on = wished or any(limit is not None for limit in (runs, messages, tokens, calls))
    return HistoryPolicy(
        on,
        runs=first_said(runs, agent.num_history_runs),
        messages=first_said(messages, agent.num_history_messages),
        tokens=tokens,
        tool_calls=first_said(calls, agent.max_tool_calls_from_history),
        summary=summary,
    )
