"""`clew agents`: which agents there are, what they are, and whether their files are right."""

import json
from typing import TYPE_CHECKING

import click

from clew.core.errors import NotFoundError, UsageError

from . import output
from .app import App
from .definitions import by_name, find, member_finder, path_of
from .options import json_option

if TYPE_CHECKING:
    from clew.core.defined import Defined
    from clew.core.errors import ClewError


@click.group("agents")
def command() -> None:
    """Look at what `clew run` runs by name: agents (-a), teams (--team), workflows (--workflow).

    They are defined in YAML, in the .clew/agents of the nearest folder, if that is trusted (see
    `clew config trust`), and in your own configuration's agents; NAME is a file's name without
    .yaml.

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
    """List all agents, teams and workflows that have a name: name, description, file.

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
@click.option("--graph", is_flag=True, help="Print a workflow's steps as a Mermaid flowchart.")
@json_option("Print JSON.")
@click.pass_obj
def show(app: App, *, agent: str, graph: bool, as_json: bool) -> None:
    """Show an agent as it would run: defaults filled in, schemas written out, tools looked up.

    NAME|FILE is what -a takes, so module:object is possible, too. A team is shown with its members,
    a workflow with its steps.

    \b
    Examples:
      clew agents show reviewer --json | jq .tools
      clew agents show research --graph > research.mmd
    """
    from clew.core.text import storable

    from .fields import fields_of

    output.keep_stdout()
    definition = find(app, storable(agent))
    if graph:
        output.result(output.shown(_graph(definition.agent)))
        return
    fields = {"file": definition.source, **fields_of(definition.agent)}
    if as_json:
        output.record(fields)
        return
    import yaml

    plain = json.loads(json.dumps(fields))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=90)
    output.result(output.shown(text))


def _graph(what: "Defined") -> str:
    from clew.core.graph import mermaid
    from clew.core.workflow import Workflow

    if not isinstance(what, Workflow):
        raise UsageError(f"{what.name!r} is not a workflow: it has no steps to draw")
    return mermaid(what)


@command.command("validate", short_help="Check definitions, and tell every error.")
@click.argument("agents", metavar="[NAME|FILE]...", nargs=-1)
@click.pass_obj
def validate(app: App, *, agents: tuple[str, ...]) -> int:
    """Check definitions; without NAME or FILE, all that have a name. Any error: exit 2.

    NAME|FILE is what -a takes, so module:object is possible, too. Each error says file, line and
    key. Python functions are imported, nothing is run. Of a workflow it is checked that the steps
    that jq names are there and run before, that a route's choices are there, and that every step
    can be reached.

    \b
    Example:
      clew agents validate .clew/agents/*.yaml
    """
    from clew.core.text import storable

    wrong = False
    for wanted in [storable(agent) for agent in agents] or list(by_name(app).values()):
        source, errors = _errors(app, wanted)
        for error in errors:
            if isinstance(error, NotFoundError):
                raise error
            output.complain(error)
        wrong = wrong or bool(errors)
        if not errors:
            output.result(output.shown(f"ok  {source}\n"))
    return 2 if wrong else 0


def _errors(app: App, wanted: str) -> "tuple[str, list[ClewError]]":
    """Return where a definition is, and what is wrong with it."""
    from clew.core.definitions import examine, examine_object
    from clew.core.loading import NAME

    if NAME.fullmatch(wanted):
        return wanted, examine_object(wanted)
    path = path_of(app, wanted)
    return path, examine(path, member_finder(app, path))[1]


@command.command("schema", short_help="Print the JSON Schema of definitions.")
def schema() -> None:
    """Print the JSON Schema of definitions, for editors that check and complete YAML.

    \b
    Example:
      clew agents schema > agent.schema.json
    """
    from clew.core.definition_kinds import definition_schema

    output.pretty(definition_schema())
