"""`--dry-run`: what would be sent."""

from typing import TYPE_CHECKING, Any

from . import output
from .app import App
from .run_options import RunOptions
from .target import Built, name_of

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.invocation import Invocation


def preview(app: App, built: Built, prompt: str, how: "Invocation", options: RunOptions) -> int:
    """Print what would be sent, as far as it is known before anything has run."""
    from clew.core.agent import Agent

    what = built.what
    if isinstance(what, Agent):
        shown = _of_agent(what, prompt, how)
    else:
        shown = {"workflow": what.name, "files": list(options["files"])}
        shown |= _of_workflow(built, prompt, how)
        app.note("what a step is given is known when those before it have run")
    if options["output_format"] in ("json", "stream-json"):
        output.record(shown)
    else:
        output.pretty(shown)
    return 0


def _of_agent(agent: "Agent", prompt: str, how: "Invocation") -> dict[str, Any]:
    plan = agent.preview(prompt, how)
    return {
        "model": name_of(agent.model),
        "fallback_models": [name_of(model) for model in agent.fallback_models],
        "messages": plan.messages,
        "history": plan.history.record,
        "options": agent.options,
        "schema": agent.output_schema,
    }


def _of_workflow(built: Built, prompt: str, how: "Invocation") -> dict[str, Any]:
    """Return what the steps begin with, and the steps, with what runs in each."""
    from .fields import fields_of

    workflow, plan = built.what, built.what.preview(prompt, how)
    fields = fields_of(workflow)
    given = (message["content"] for message in plan.own if message["role"] == "user")
    return {
        "input": prompt or next(given, ""),
        "model": fields.get("model"),
        "params": workflow.values(how),
        "session_state": plan.state,
        "add_workflow_history_to_steps": built.history.on,
        "num_history_runs": built.history.runs,
        "finished": _finished(how),
        **({"agent": fields["agent"]} if "agent" in fields else {}),
        "steps": fields["steps"],
    }


def _finished(how: "Invocation") -> list[str]:
    """Return the ids of the steps that need not run again, where a run is gone on with."""
    from clew.core.chain import going_on
    from clew.core.step_tree import FINISHED, flat

    if how.store is None or how.session_id is None or how.resume is None:
        return []
    tip = going_on(how.store.session(how.session_id, how.user_id), how.resume).tip
    return [step["id"] for step in flat(tip["steps"]) if step["status"] in FINISHED]
