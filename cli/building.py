"""From options, and what a session hands on, to what is to run."""

from dataclasses import replace
from typing import TYPE_CHECKING

from clew.core.errors import UsageError

from . import output
from .app import App
from .run_options import RunOptions
from .target import Built, Target, wanted

if TYPE_CHECKING:
    from .definitions import Definition


_A = {"agent": "an agent", "team": "a team", "workflow": "a workflow"}


def build(app: App, target: Target, options: RunOptions) -> Built:
    """Return what is to run: a definition, and what the options say otherwise."""
    from clew.core.agent import Agent

    definition = _definition(app, target, options)
    what = definition.agent if definition else Agent()
    source = definition.source if definition else None
    # Another one than before begins with its own text: what was said to the first is not for it.
    same = target.inherited.get("agent") == source
    inherited = target.inherited if same else {}
    if isinstance(what, Agent):
        from .agent_building import agent_as_asked

        built = agent_as_asked(app, target, options, what, inherited)
    else:
        from clew.core.workflow import Workflow

        from .workflow_building import workflow_as_asked

        assert isinstance(what, Workflow)
        built = workflow_as_asked(app, target, options, what)
    params = dict(inherited.get("param") or {})
    known = {name: value for name, value in params.items() if name in what.takes}
    return replace(built, source=source, params=known | _params(options, source))


def _definition(app: App, target: Target, options: RunOptions) -> "Definition | None":
    named, inherited = wanted(options), target.inherited.get("agent")
    if named is None and inherited is None:
        return None
    from clew.core.loading import look_first_in
    from clew.core.text import storable

    from .definitions import find, find_again

    output.keep_stdout()
    if named is None:
        look_first_in(str(target.inherited["cwd"]))
        return find_again(app, str(inherited), str(target.inherited.get("kind")))
    kind, name = named
    definition = find(app, storable(name), kind)
    is_a = definition.agent.kind
    if is_a != kind:
        raise UsageError(f"{name!r} is {_A[is_a]}, not {_A[kind]}", hint=f"--{is_a} {name} runs it")
    return definition


def _params(options: RunOptions, source: str | None) -> dict[str, str]:
    if options["param"] and source is None:
        hint = "name the agent with -a, the team with --team, the workflow with --workflow"
        raise UsageError("--param is for what a definition names", hint=hint)
    return dict(options["param"])
