"""`clew tools`: which tools an agent has, and what one of them does when it is called by hand."""

from typing import TYPE_CHECKING, Any

import click

from clew.core.errors import ClewError, NotFoundError, UsageError

from . import output
from .app import App
from .approve import decider
from .options import F, each_not_empty, json_option, not_empty

if TYPE_CHECKING:
    from clew.core.tools import RunContext, Tool, ToolServer, ToolSpec


_SHOWN = "`clew tools show {}` shows what it takes"


def _sources(function: F) -> F:
    """Add the options that say whose tools are meant."""
    agent = click.option(
        "-a", "--agent", metavar="NAME", callback=not_empty, help="The tools of this agent."
    )
    tool = click.option(
        "-t",
        "--tool",
        "specs",
        metavar="SPEC",
        multiple=True,
        callback=each_not_empty,
        help="A tool, as `clew run -t` takes it. May be repeated.",
    )
    return agent(tool(function))


@click.group("tools")
def command() -> None:
    """Look at the tools that an agent has, or that -t names, and try one by hand.

    \b
    Examples:
      clew tools list -a reviewer
      clew tools show today -t mytools:today
      clew tools call today -t mytools:today zone=UTC
    """


@command.command("list", short_help="List tools.")
@_sources
@json_option()
@click.pass_obj
def list_(app: App, *, agent: str | None, specs: tuple[str, ...], as_json: bool) -> None:
    """List the tools of an agent, or those that -t names: name and description.

    \b
    Example:
      clew tools list -t mytools:today --json | jq .parameters
    """
    tools = _tools(app, agent, specs)
    width = max(map(len, tools), default=0)
    for name, tool in tools.items():
        if as_json:
            output.record(described(tool.spec))
        else:
            first = next(iter(tool.spec.description.splitlines()), "")
            output.result(output.shown(f"{name:{width}}  {first}".rstrip() + "\n"))


@command.command("show", short_help="Show a tool and its arguments.")
@click.argument("name")
@_sources
@click.pass_obj
def show(app: App, *, name: str, agent: str | None, specs: tuple[str, ...]) -> None:
    """Show one tool as JSON: its description, the JSON Schema of its arguments, what it needs.

    \b
    Example:
      clew tools show today -t mytools:today
    """
    output.pretty(described(_one(_tools(app, agent, specs), name).spec))


@command.command("call", short_help="Call a tool by hand.")
@click.argument("name")
@click.argument("arguments", metavar="[KEY=VALUE]...", nargs=-1)
@_sources
@click.option(
    "--approve",
    type=click.Choice(["ask", "auto", "deny"]),
    help="Who lets a tool run that needs approval (default ask; it takes a terminal).",
)
@click.option("-y", "--yes", "approve", flag_value="auto", help="The same as --approve auto.")
@click.pass_obj
def call(
    app: App,
    *,
    name: str,
    arguments: tuple[str, ...],
    agent: str | None,
    specs: tuple[str, ...],
    approve: str | None,
) -> None:
    """Call a tool as a run would, and print its result. There is no session, and no model.

    Arguments are KEY=VALUE, read as the tool's schema says, or - for a JSON object on standard
    input. A tool that fails ends in exit 1; one that needs approval asks, as in a run.

    \b
    Examples:
      clew tools call today -t mytools:today zone=UTC
      echo '{"zone": "UTC"}' | clew tools call today -t mytools:today -
    """
    from clew.core.tools import ToolError, check_arguments

    tool = _one(_tools(app, agent, specs), name)
    given = _arguments(tool.spec, arguments)
    given |= _approved(tool.spec, given, approve)
    try:
        check_arguments(tool.spec.parameters, given)
    except ToolError as error:
        raise UsageError(error.message, hint=_SHOWN.format(name)) from None
    try:
        result = _called(tool, given, _context(app))
    except ToolError as error:
        raise ClewError(f"the tool failed: {error.message}") from None
    output.answer(result)


def described(spec: "ToolSpec") -> dict[str, Any]:
    """Return what is known of a tool, as data."""
    return {
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
        "command": spec.command,
        "requires_confirmation": spec.requires_confirmation,
        "requires_user_input": list(spec.requires_user_input),
        "external": spec.external,
    }


def _tools(app: App, agent: str | None, specs: tuple[str, ...]) -> "dict[str, Tool]":
    """Return the tools that are meant, by name."""
    from clew.core.text import storable
    from clew.core.tool_specs import tools_of
    from clew.core.tools import Tool, by_name

    from .definitions import find

    output.keep_stdout()
    if agent is None and not specs:
        raise UsageError("whose tools?", hint="name an agent with -a, or tools with -t")
    own = find(app, storable(agent)).agent_or_team if agent is not None else None
    found = [each for spec in specs for each in tools_of(storable(spec))]
    servers = [each for each in found if not isinstance(each, Tool)]
    tools = [each for each in found if isinstance(each, Tool)]
    if own is not None:
        servers, tools = [*own.servers, *servers], [*own.offers(store=app.store), *tools]
    return by_name([*tools, *_served(app, servers)])


def _served(app: App, servers: "list[ToolServer]") -> "list[Tool]":
    """Return the tools of servers, which run until the command ends."""
    if not servers:
        return []
    from clew.core.tool_servers import Servers

    running = click.get_current_context().with_resource(Servers())
    return running.tools(servers, app.environment)


def _one(tools: "dict[str, Tool]", name: str) -> "Tool":
    if name not in tools:
        known = ", ".join(tools) or "none"
        raise NotFoundError(f"there is no tool {name!r}", hint=f"the tools are: {known}")
    return tools[name]


def _arguments(spec: "ToolSpec", words: tuple[str, ...]) -> dict[str, Any]:
    from clew.core.state import parse_object
    from clew.core.text import storable
    from clew.core.tools import ToolError, field_value

    if "-" in words:
        if len(words) > 1:
            raise UsageError("- stands for all arguments, so no KEY=VALUE goes with it")
        from .prompt import read_stdin

        return parse_object(read_stdin().decode("utf-8", "replace"), "standard input")
    given: dict[str, Any] = {}
    for word in words:
        key, equals, text = storable(word).partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not KEY=VALUE", hint="- reads JSON from standard input")
        try:
            given[key] = field_value(spec, key, text)
        except ToolError as error:
            raise UsageError(error.message, hint=_SHOWN.format(spec.name)) from None
    return given


def _approved(spec: "ToolSpec", given: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """Return what the person adds to the arguments; raise UsageError without a yes."""
    from clew.core.tools import requirement_of

    if spec.external:
        raise UsageError(f"the result of {spec.name!r} comes from outside: there is nothing to run")
    need = requirement_of(spec, "by hand", given)
    if need is None or (need["kind"] == "input" and given.keys() >= set(spec.requires_user_input)):
        return {}
    settlement = decider(mode)(need, spec)
    if settlement is None:
        hint = "-y lets it run" if need["kind"] == "confirm" else "give them as KEY=VALUE"
        what = "a yes" if need["kind"] == "confirm" else ", ".join(spec.requires_user_input)
        raise UsageError(f"{spec.name!r} needs {what}, and there is no terminal to ask", hint=hint)
    if not settlement.calls:
        raise ClewError(f"{spec.name!r} was not allowed to run")
    return dict(settlement.values)


def _context(app: App) -> "RunContext":
    from clew.core.clock import new_id, new_run_id
    from clew.core.tools import RunContext

    return RunContext(
        run_id=new_run_id(),
        session_id=new_id(),
        user_id=app.user(None),
        session_state={},
        environment=app.environment,
    )


def _called(tool: "Tool", given: dict[str, Any], context: "RunContext") -> str:
    """Return the result; what the tool prints beside it goes to standard error."""
    from clew.core.stdout_apart import apart
    from clew.core.text import storable

    try:
        with apart():
            return storable(tool.call(given, context))
    except BaseException:
        tool.stop()
        raise
