"""`clew agents`: which agents there are, what they are, and whether their files are right."""

import json
from typing import TYPE_CHECKING, Any

import click

from clew.core.errors import NotFoundError

from . import output
from .app import App
from .definitions import by_name, find, member_finder, path_of
from .options import json_option

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.limits import Budget, Limits


@click.group("agents")
def command() -> None:
    """Look at agents and teams: definitions in YAML that `clew run -a NAME`, or --team NAME, runs.

    They are in the .clew/agents of the nearest folder, if that is trusted (see `clew config
    trust`), and in your own configuration's agents; NAME is a file's name without .yaml.

    \b
    Examples:
      clew agents list
      clew agents show reviewer
      clew run -a reviewer "What is wrong here?"
    """


@command.command("list", short_help="List the agents that have a name.")
@json_option()
@click.pass_obj
def list_(app: App, *, as_json: bool) -> None:
    """List every agent that -a finds by its name: name, description, file.

    What is wrong with a file is said on stderr; `clew agents validate` tells all of it.

    \b
    Example:
      clew agents list --json | jq -r .name
    """
    known = by_name(app)
    if not known:
        return
    from clew.core.definitions import examine

    width = max(map(len, known))
    for name, path in known.items():
        agent, errors = examine(path, member_finder(app, path))
        if as_json:
            description = agent.description if agent else None
            error = errors[0].record() if errors else None
            kind = agent.kind if agent else None
            row = {"name": name, "kind": kind, "description": description, "file": path}
            output.record({**row, "error": error})
            continue
        shown = " ".join(agent.description.split()) or "-" if agent else "(wrong)"
        output.result(output.shown(f"{name:{width}}  {shown}  {path}\n"))
        if errors:
            output.complain(errors[0])


@command.command("show", short_help="Show what an agent is.")
@click.argument("agent", metavar="NAME|FILE")
@json_option("Print JSON.")
@click.pass_obj
def show(app: App, *, agent: str, as_json: bool) -> None:
    """Show an agent as it would run: defaults filled in, schemas written out, tools looked up.

    NAME|FILE is what -a takes, so module:object is possible, too.

    \b
    Example:
      clew agents show reviewer --json | jq .tools
    """
    from clew.core.text import storable

    output.keep_stdout()
    definition = find(app, storable(agent))
    fields = {"file": definition.source, **_fields(definition.agent)}
    if as_json:
        output.record(fields)
        return
    import yaml

    plain = json.loads(json.dumps(fields))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=90)
    output.result(output.shown(text))


def _fields(agent: "Agent") -> dict[str, Any]:
    """Return what an agent is made of, as data; what it does not say is left out."""
    from .building import name_of

    fields = {
        "kind": agent.kind,
        "name": agent.name,
        "description": agent.description,
        "model": name_of(agent.model),
        "fallback_models": [name_of(model) for model in agent.fallback_models],
        "system": agent.system,
        "instructions": agent.instructions,
        "tools": [
            *(_tool(tool) for tool in agent.offers()),
            *({"mcp": server.place} for server in agent.servers),
        ],
        "tool_call_limit": agent.tool_call_limit,
        "session_state": agent.session_state,
        "add_session_state_to_context": agent.add_session_state_to_context,
        "enable_agentic_state": agent.enable_agentic_state,
        "add_history_to_context": agent.add_history_to_context,
        "num_history_runs": agent.num_history_runs,
        "num_history_messages": agent.num_history_messages,
        "max_tool_calls_from_history": agent.max_tool_calls_from_history,
        "read_chat_history": agent.read_chat_history,
        "search_past_sessions": agent.search_past_sessions,
        "num_past_sessions_to_search": agent.num_past_sessions_to_search,
        "num_past_session_runs_in_search": agent.num_past_session_runs_in_search,
        **_upkeep(agent),
        "input_schema": agent.input_schema,
        "output_schema": agent.output_schema,
        "params": agent.params,
        "options": agent.options,
        "limits": _limits(agent.limits),
        "budget": _budget(agent.budget),
        "metadata": agent.metadata,
        **_of_team(agent),
    }
    return {k: v for k, v in fields.items() if v is not None and v not in ("", [], (), {})}


def _of_team(agent: "Agent") -> dict[str, Any]:
    from clew.core.team import Team

    if not isinstance(agent, Team):
        return {}
    return {
        "mode": agent.mode,
        "add_team_history_to_members": agent.add_team_history_to_members or None,
        "num_team_history_runs": agent.num_team_history_runs,
        "max_iterations": agent.max_iterations if agent.mode == "tasks" else None,
        "share_member_interactions": agent.share_member_interactions or None,
        "members": [_fields(member) for member in agent.members],
    }


def _upkeep(agent: "Agent") -> dict[str, Any]:
    model = agent.summary_model
    return {
        "enable_session_summaries": agent.enable_session_summaries or None,
        "add_session_summary_to_context": agent.add_session_summary_to_context,
        "summary_model": model if isinstance(model, str | None) else model.name,
        "summary_tokens": agent.summary_tokens,
        "autogenerate_session_name": agent.autogenerate_session_name or None,
    }


def _budget(budget: "Budget") -> dict[str, Any]:
    return _said(
        {
            "tokens": budget.tokens,
            "cost": budget.cost,
            "turns": budget.turns,
            "timeout": budget.seconds,
        }
    )


def _limits(limits: "Limits") -> dict[str, Any]:
    return _said(
        {
            "timeout": limits.seconds,
            "max_turns": limits.turns,
            "max_cost": limits.cost,
            "max_tokens": limits.answer_tokens,
            "max_total_tokens": limits.tokens,
            "retries": limits.retries,
            "repairs": limits.repairs,
        }
    )


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: Any) -> dict[str, Any]:
    from .tools import described

    return described(tool.spec)


@command.command("validate", short_help="Check definitions, and tell every error.")
@click.argument("agents", metavar="[NAME|FILE]...", nargs=-1)
@click.pass_obj
def validate(app: App, *, agents: tuple[str, ...]) -> int:
    """Check definitions; without NAME or FILE, all that have a name. Any error: exit 2.

    Each error says file, line and key. Python functions are imported, nothing is run.

    \b
    Example:
      clew agents validate .clew/agents/*.yaml
    """
    from clew.core.definitions import examine
    from clew.core.text import storable

    paths = [path_of(app, storable(agent)) for agent in agents] or list(by_name(app).values())
    wrong = False
    for path in paths:
        _agent, errors = examine(path, member_finder(app, path))
        for error in errors:
            if isinstance(error, NotFoundError):
                raise error
            output.complain(error)
        wrong = wrong or bool(errors)
        if not errors:
            output.result(output.shown(f"ok  {path}\n"))
    return 2 if wrong else 0


@command.command("schema", short_help="Print the JSON Schema of definitions.")
def schema() -> None:
    """Print the JSON Schema of an agent's definition, for editors that check and complete YAML.

    \b
    Example:
      clew agents schema > agent.schema.json
    """
    from clew.core.definition_models import definition_schema

    output.pretty(definition_schema())
