"""The line of a run: as it is when the run begins, and as it is when it ended."""

import os
from typing import Any, cast

from .clock import now
from .exchange import Exchange
from .flight import interruption, without_details
from .lines import RunLine
from .messages import assistant, in_call_order
from .order import Order, Plan
from .records import Requirement
from .session import Draft, seal
from .store import SessionLog
from .text import storable
from .turns import Turns
from .usage import run_metrics, totals
from .version import VERSION
from .work import Outcome


def intent_line(order: Order, planned: Plan, log: SessionLog) -> RunLine:
    """Return the line of a run that begins, as it is stored if nothing ever comes."""
    error = interruption()
    metrics = run_metrics([], 0.0, None)
    files = [item.record for item in order.files]
    fields: dict[str, Any] = {
        "run_id": order.run_id,
        "parent_run_id": order.outer.run_id if order.outer else None,
        "root_run_id": order.outer.root_run_id if order.outer else None,
        "resumes": order.resumes["run_id"] if order.resumes else None,
        "forked_from": None,
        "kind": order.kind,
        "name": order.name,
        "status": "INTERRUPTED",
        "exit_code": error.exit_code,
        "started_at": now(),
        "input": order.whole_input,
        "files": [*(order.resumes["files"] if order.resumes else []), *files],
        "content": "",
        "data": None,
        "finish_reason": None,
        "model": order.model.name or None,
        "resolved_model": None,
        "messages": planned.own,
        "history": planned.history.record,
        "tools": [],
        "requirements": _still_open(order),
        "steps": order.resumes["steps"] if order.resumes else [],
        **({"members": []} if order.kind != "agent" else {}),
        "error": error.record(),
        "metrics": metrics,
        "total_metrics": without_details(metrics),
        "state_patch": order.change.patch_for(planned.tip),
        "metadata": order.metadata,
        "options": _asked(order),
        "cwd": (order.outer.folder if order.outer else order.folder) or _cwd(),
        "clew_version": VERSION,
    }
    draft = Draft("run", fields, order.change)
    who = {"session_id": log.session_id, "user_id": log.user_id}
    line = seal(draft, planned.tip, created_at=now(), **who)
    line["seq"] = None
    return cast(RunLine, line)


def _still_open(order: Order) -> list[Requirement]:
    """Return what steps of the resumed run wait for: it is open until it is decided."""
    if order.kind != "workflow" or order.resumes is None:
        return []
    return [one for one in order.resumes["requirements"] if one["decision"] is None]


def _asked(order: Order) -> dict[str, Any]:
    """Return how the run was asked for: what is null or empty is left out."""
    asked = {
        order.kind: order.agent,
        "fallback_models": [model.name for model in order.fallbacks],
        "param": order.given_params,
        "system": order.system or (None if order.agent else order.instructions.text),
        "option": order.model_options,
        "schema": order.schema,
        "history_runs": order.history.runs,
        "history_messages": order.history.messages,
        "history_tokens": order.history.tokens,
        "history_tool_calls": order.history.tool_calls,
        "max_tokens": order.limits.answer_tokens,
        "max_total_tokens": order.limits.tokens,
        "max_cost": order.limits.cost,
        "timeout": order.limits.seconds,
        "max_turns": order.limits.turns,
        "retries": order.limits.repeats,
        "repairs": order.limits.repairs,
        "budget_tokens": order.budget.tokens,
        "budget_cost": order.budget.cost,
        "budget_turns": order.budget.turns,
        "budget_timeout": order.budget.seconds,
        "tool": list(dict.fromkeys(tool.spec.source for tool in order.tools if tool.spec.source)),
    }
    return {"history": order.history.on or order.tells_history} | {
        k: v for k, v in asked.items() if v not in (None, {}, [], "")
    }


def ended_line(intent: RunLine, exchange: Exchange, outcome: Outcome) -> RunLine:
    """Return the line of a run that ended so, with what its models used."""
    seconds = exchange.seconds
    line = intent.copy()
    line["status"] = outcome.status
    line["exit_code"] = outcome.exit_code
    line["error"] = outcome.error.record() if outcome.error else None
    line["data"] = outcome.data
    line["metrics"] = run_metrics(exchange.calls, seconds, exchange.first_token)
    line["total_metrics"] = totals([*exchange.calls, *exchange.calls_inside], seconds)
    return line


def line_of_turns(intent: RunLine, turns: Turns, outcome: Outcome, before: str) -> RunLine:
    """Return the line of a run that asked a model; `before` is its answer if no other came."""
    exchange = turns.exchange
    reply, content = exchange.reply, exchange.content
    broken_off = [assistant(content)] if exchange.is_open and content else []
    line = ended_line(intent, exchange, outcome)
    line["content"] = content or before
    line["finish_reason"] = reply.finish_reason if reply else None
    line["resolved_model"] = reply.resolved_model if reply else None
    line["messages"] = in_call_order([*intent["messages"], *turns.said, *broken_off])
    line["tools"] = turns.tools
    line["requirements"] = turns.requirements
    if "members" in line:
        line["members"] = turns.round.members
    if turns.round.conflicts:
        line["state_conflicts"] = turns.round.conflicts
    return line


def _cwd() -> str | None:
    try:
        return storable(os.getcwd())
    except OSError:
        return None
