"""A workflow as options and session want it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from clew.core.errors import UsageError

from .app import App
from .run_options import RunOptions
from .target import Built, Target, first_said, limits_of, model_of, name_of

if TYPE_CHECKING:
    from clew.core.history import HistoryPolicy
    from clew.core.model import Model
    from clew.core.workflow import Workflow

_OF_AGENTS = {
    "system": "--system",
    "schema": "--schema",
    "tools": "--tool",
    "option": "--option",
    "history_messages": "--history-messages",
    "history_tokens": "--history-tokens",
    "history_tool_calls": "--history-tool-calls",
    "max_turns": "--max-turns",
    "max_tokens": "--max-tokens",
    "retries": "--retries",
}
"""What is for one agent: a workflow may have several, each with its own definition."""


def workflow_as_asked(app: App, target: Target, options: RunOptions, workflow: "Workflow") -> Built:
    """Return a workflow, and what options say otherwise."""
    _refuse_what_is_for_agents(options)
    built = replace(
        workflow,
        model=_model(app, target, options, workflow),
        limits=limits_of(app, options, workflow.limits),
    )
    return Built(built, _history(target, options, built), starts=built.name or "the first step")


def _refuse_what_is_for_agents(options: RunOptions) -> None:
    given: dict[str, object] = {**options}
    for key, option in _OF_AGENTS.items():
        if given[key] not in (None, ()):
            raise UsageError(
                f"{option} is for an agent, and a workflow may have several",
                hint="it belongs into the definition of the agent that a step runs",
            )


def _model(
    app: App, target: Target, options: RunOptions, workflow: "Workflow"
) -> "str | Model | None":
    """Return the model for agents that name none; None where nobody says one, nor needs one."""
    asked = options["model"] or target.inherited.get("model") or name_of(workflow.model)
    if asked is None and not workflow.lacks_model:
        return None
    return model_of(app, target, options, workflow.model, workflow.kind)


def _history(target: Target, options: RunOptions, workflow: "Workflow") -> "HistoryPolicy":
    from clew.core.history import HistoryPolicy

    runs, on = options["history_runs"], options["history"]
    if on is None:
        wished = first_said(workflow.add_workflow_history_to_steps, target.history)
        on = wished or runs is not None
    return HistoryPolicy(on, runs=first_said(runs, workflow.num_history_runs))
