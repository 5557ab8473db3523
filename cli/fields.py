"""What agents, teams and workflows are made of, as data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.defined import Defined
    from clew.core.limits import Budget, Limits
    from clew.core.steps import Node, Pause, Step
    from clew.core.workflow import Workflow


def fields_of(what: "Defined") -> dict[str, Any]:
    """Return what something is made of; what it does not say is left out."""
    from clew.core.agent import Agent
    from clew.core.workflow import Workflow

    if isinstance(what, Agent):
        return _filled(_agent(what))
    return _filled(_workflow(what)) if isinstance(what, Workflow) else {"kind": what.kind}


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v is not None and v not in ("", [], (), {})}


def _workflow(workflow: "Workflow") -> dict[str, Any]:
    from .target import name_of

    agent = workflow.agent
    return {
        "kind": workflow.kind,
        "name": workflow.name,
        "description": workflow.description,
        "model": name_of(workflow.model),
        "agent": None if agent is None else fields_of(agent),
        "session_state": workflow.session_state,
        "add_workflow_history_to_steps": workflow.add_workflow_history_to_steps,
        "num_history_runs": workflow.num_history_runs,
        "autogenerate_session_name": workflow.autogenerate_session_name or None,
        "input_schema": workflow.input_schema,
        "params": workflow.params,
        "limits": _limits(workflow.limits),
        "budget": _budget(workflow.budget),
        "metadata": workflow.metadata,
        "steps": _nodes(workflow.nodes),
    }


def _nodes(nodes: "Sequence[Node]") -> list[dict[str, Any]]:
    return [_filled({"name": node.name, **_node(node)}) for node in nodes]


def _node(node: "Node") -> dict[str, Any]:
    from clew.core.steps import Condition, Loop, Parallel, Router, Step, Steps

    shared = {"description": node.description}
    match node:
        case Step():
            return shared | _step(node)
        case Steps():
            return shared | {"steps": _nodes(node.steps)}
        case Parallel():
            return shared | {"parallel": _nodes(node.steps)}
        case Condition():
            then, otherwise = _nodes(node.then), _nodes(node.else_)
            return shared | {"if": _decider(node.if_), "then": then, "else": otherwise}
        case Loop():
            return {
                **shared,
                "loop": _nodes(node.steps),
                "until": _decider(node.until),
                "max_iterations": node.max_iterations,
                "forward": node.forward or None,
            }
        case Router():
            route = "(asks)" if node.route is None else _decider(node.route)
            return {
                **shared,
                "router": route,
                **_pause(node.pause),
                "choices": _nodes(node.choices),
            }


def _step(step: "Step") -> dict[str, Any]:
    return {
        **_does(step.does),
        "input": step.input,
        "on_error": None if step.on_error == "fail" else step.on_error,
        "retries": step.retries or None,
        "stop": step.stop or None,
        "add_workflow_history": step.add_workflow_history,
        "num_history_runs": step.num_history_runs,
        **_pause(step.pause),
    }


def _does(does: Any) -> dict[str, Any]:
    from clew.core.defined import Defined
    from clew.core.steps import Command

    if isinstance(does, Defined):
        return {does.kind: fields_of(does)}
    if isinstance(does, Command):
        more = {"json": does.json or None, "files": list(does.files)}
        return {**_decider(does), **more}
    return {"python": _named(does)}


def _decider(given: Any) -> Any:
    """Return a test or a route as a definition has it."""
    from clew.core.steps import Command

    if isinstance(given, Command):
        return _filled({"run": list(given.argv), "timeout": given.seconds, "env": list(given.env)})
    return {"python": _named(given)} if callable(given) else given


def _named(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None)}:{name}"


def _pause(pause: "Pause") -> dict[str, Any]:
    return {
        "requires_confirmation": pause.confirmation or None,
        "requires_review": pause.review or None,
        "requires_user_input": pause.user_input,
        "message": pause.message,
        "on_reject": None if pause.on_reject == "skip" else pause.on_reject,
        "answer_within": pause.seconds,
        "on_timeout": pause.on_timeout if pause.seconds is not None else None,
    }


def _agent(agent: "Agent") -> dict[str, Any]:
    from .target import name_of

    return {
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
        "members": [fields_of(member) for member in agent.members],
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
