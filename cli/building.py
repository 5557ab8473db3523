"""From options, and what a session hands on, to an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from clew.core.approvals import Answers
from clew.core.errors import UsageError

from . import output
from .app import App
from .run_options import RunOptions

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.limits import Limits
    from clew.core.model import Model
    from clew.core.tools import Tool, ToolServer

    from .definitions import Definition


_A = {"agent": "an agent", "team": "a team"}


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


@dataclass(frozen=True)
class Built:
    """The agent that is to run, what is said in place of its own text, and how it was named."""

    agent: "Agent"
    system: str | None
    source: str | None
    params: dict[str, str]


def build(app: App, target: Target, options: RunOptions) -> Built:
    """Return the agent that is to run: a definition, and what the options say otherwise."""
    from clew.core.agent import Agent

    definition = _definition(app, target, options)
    agent = definition.agent if definition else Agent()
    source = definition.source if definition else None
    # Another agent than before begins with its own text: what was said to the first is not for it.
    same = target.inherited.get("agent") == source
    inherited = target.inherited if same else {}
    params = dict(inherited.get("param") or {})
    known = {name: value for name, value in params.items() if name in agent.takes}
    schema = _schema(options)
    model = _model(app, target, options, agent.model)
    own = options["model"] is None and name_of(model) == _own_model(app, agent.model)
    built = replace(
        agent,
        model=model,
        # A model that was asked for never falls back to another.
        fallback_models=agent.fallback_models if own else (),
        output_schema=agent.output_schema if schema is None else schema,
        tools=[*agent.tools, *_tools(target, options)],
        options=agent.options | _model_options(target, options),
        limits=_limits(app, options, agent.limits),
    )
    system = _system(inherited.get("system"), options)
    return Built(built, system, source, known | _params(options, source))


def _definition(app: App, target: Target, options: RunOptions) -> "Definition | None":
    if options["agent"] is not None and options["team"] is not None:
        raise UsageError("--agent and --team exclude each other")
    wanted, inherited = _wanted(options), target.inherited.get("agent")
    if wanted is None and inherited is None:
        return None
    from clew.core.text import storable

    from .definitions import find, find_again

    output.keep_stdout()
    if wanted is None:
        return find_again(app, str(inherited))
    kind = "agent" if options["team"] is None else "team"
    definition = find(app, storable(wanted), kind)
    if definition.agent.kind != kind:
        hint = f"--{definition.agent.kind} {wanted} runs it"
        raise UsageError(f"{wanted!r} is {_A[definition.agent.kind]}, not {_A[kind]}", hint=hint)
    return definition


def _wanted(options: RunOptions) -> str | None:
    """Return what --agent or --team names."""
    return options["team"] if options["agent"] is None else options["agent"]


def _params(options: RunOptions, source: str | None) -> dict[str, str]:
    if options["param"] and source is None:
        hint = "name the agent with -a, or the team with --team"
        raise UsageError("--param fills in an agent's text", hint=hint)
    return dict(options["param"])


def _model(
    app: App, target: Target, options: RunOptions, defined: "str | Model | None"
) -> "str | Model":
    from clew.core.models import DEFAULT_MODEL

    inherited = target.inherited.get("model")
    if defined is not None and not isinstance(defined, str):
        if options["model"] is None and inherited in (None, defined.name):
            return defined
        defined = defined.name
    name = options["model"] or inherited or _own_model(app, defined)
    if options["model"] is not None:
        return str(name)
    if name == DEFAULT_MODEL:
        app.note(f"model {name} (embedded; -m chooses another)")
    elif inherited and _wanted(options) is not None and defined not in (None, inherited):
        app.note(f"model {name} (this session's; the agent's is {defined})")
    elif inherited and options["verbose"]:
        app.note(f"model {name} (inherited)")
    return str(name)


def _own_model(app: App, defined: "str | Model | None") -> str:
    """Return the model that an agent has where nobody asks for another one."""
    from clew.core.models import DEFAULT_MODEL

    return name_of(defined) or str(app.settings.value("model") or DEFAULT_MODEL)


def name_of(model: "str | Model | None") -> str | None:
    """Return what a model is called."""
    return model if isinstance(model, str | None) else model.name


def _system(inherited: str | None, options: RunOptions) -> str | None:
    text = options["system"]
    return inherited if text is None else text_or_file(text, "--system")


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


def _tools(target: Target, options: RunOptions) -> "list[Tool | ToolServer]":
    sources = options["tools"] or target.inherited.get("tool") or ()
    if not sources:
        return []
    from clew.core.text import storable
    from clew.core.tool_specs import tools_of

    output.keep_stdout()
    return [tool for source in sources for tool in tools_of(storable(source))]


def _limits(app: App, options: RunOptions, defined: "Limits") -> "Limits":
    from clew.core.limits import Limits

    def first(flag: Any, otherwise: Any) -> Any:
        return otherwise if flag is None else flag

    settings = app.settings
    return Limits(
        seconds=settings.value("timeout", first(options["timeout"], defined.seconds)),
        tokens=first(options["max_total_tokens"], defined.tokens),
        cost=settings.value("max_cost", first(options["max_cost"], defined.cost)),
        turns=first(options["max_turns"], defined.turns),
        answer_tokens=first(options["max_tokens"], defined.answer_tokens),
        retries=settings.value("retries", first(options["retries"], defined.retries)),
        repairs=defined.repairs,
    )
