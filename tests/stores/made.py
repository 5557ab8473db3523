"""Lines as a run makes them, for tests that need no model."""

from typing import Any, cast

from clew.core.clock import now
from clew.core.flight import interruption
from clew.core.lines import Line, RunLine, SessionLine, encode
from clew.core.messages import assistant, user
from clew.core.records import Status
from clew.core.session import Draft, StateChange, Tip, always, seal, tip_after
from clew.core.store import SessionLog
from clew.core.usage import Call, no_usage, run_metrics

USER = "default"
SESSION = "s"
START = Tip()


def call(input_tokens: int = 0, output_tokens: int = 0) -> Call:
    """A request to a model that used so many tokens."""
    return {
        **no_usage(),
        "kind": "model",
        "model": "m",
        "attempt": 1,
        "duration": 0.5,
        "error": None,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def run_fields(run_id: str, asked: str = "hi", answer: str = "hello") -> dict[str, Any]:
    """The own fields of a completed run's line."""
    metrics = run_metrics([call(3, 4)], 0.5, 0.1)
    hidden = ("details", "time_to_first_token")
    return {
        "run_id": run_id,
        "parent_run_id": None,
        "root_run_id": None,
        "resumes": None,
        "forked_from": None,
        "kind": "agent",
        "name": None,
        "status": "COMPLETED",
        "exit_code": 0,
        "started_at": now(),
        "input": asked,
        "files": [],
        "content": answer,
        "data": None,
        "finish_reason": "stop",
        "model": "replay:nothing",
        "resolved_model": None,
        "messages": [user(asked), assistant(answer)],
        "history": {"runs": 0, "first_seq": None, "last_seq": None, "left_out": 0},
        "tools": [],
        "requirements": [],
        "steps": [],
        "error": None,
        "metrics": metrics,
        "total_metrics": {k: v for k, v in metrics.items() if k not in hidden},
        "state_patch": None,
        "metadata": {},
        "options": {},
        "cwd": None,
        "clew_version": "0",
    }


def run_draft(
    run_id: str, *, status: Status = "COMPLETED", patch: dict[str, Any] | None = None
) -> Draft:
    """What stores a run; `patch` is what it changes in the state."""
    fields = run_fields(run_id) | {"status": status}
    return Draft("run", fields, StateChange(patch=patch))


def state_line(patch: dict[str, Any]) -> Draft:
    """What stores a change of the state."""
    fields = {"state_patch": None, "state_replaced": False, "by": None}
    return Draft("state", fields, StateChange(patch=patch))


def add_run(log: SessionLog, run_id: str, **changes: Any) -> RunLine:
    """Store a run and return its line."""
    return cast(RunLine, log.append(always(run_draft(run_id, **changes))))


def intent(log: SessionLog, run_id: str, patch: dict[str, Any] | None = None) -> RunLine:
    """The line of a run that begins now."""
    error = interruption()
    metrics = run_metrics([], 0.0, None)
    fields = run_fields(run_id, asked="question", answer="") | {
        "status": "INTERRUPTED",
        "exit_code": error.exit_code,
        "error": error.record(),
        "messages": [user("question")],
        "finish_reason": None,
        "metrics": metrics,
        "total_metrics": metrics,
        "state_patch": patch,
    }
    line = sealed(Draft("run", fields, StateChange(patch=patch)), tip_after(log.last()))
    line["session_id"], line["user_id"], line["seq"] = log.session_id, log.user_id, None
    return cast(RunLine, line)


def job_draft(job_id: str, summary: str | None = None, tokens: int = 0, covered: int = 1) -> Draft:
    """What stores that a model was asked for a summary, of the first so many runs."""
    covers = {"last_seq": covered, "turns": covered, "left_out": 0}
    fields = {
        "name": None,
        "summary": summary,
        "covers": covers if summary is not None else None,
        "by": None,
        "job_id": job_id,
        "error": None if summary is not None else interruption().record(),
        "metrics": run_metrics([call(tokens)] if tokens else [], 0.0, None),
    }
    return Draft("session", fields)


def job_intent(log: SessionLog, job_id: str) -> SessionLine:
    """The line of a job that begins now."""
    line = sealed(job_draft(job_id), tip_after(log.last()))
    line["session_id"], line["user_id"], line["seq"] = log.session_id, log.user_id, None
    return cast(SessionLine, line)


def sealed(draft: Draft, tip: Tip = START) -> Line:
    """The line that a draft becomes after `tip` in the session `s`."""
    return seal(draft, tip, session_id=SESSION, user_id=USER, created_at=now())


def raw_session(runs: int, *, summary: str = "", after: int = 0) -> list[bytes]:
    """The bytes of the lines of a session of so many runs, a summary after one of them."""
    tip, lines = Tip(), []
    for number in range(1, runs + 1):
        line = sealed(run_draft(f"r{number}", patch={"n": number}), tip)
        if number == after:
            lines.append(encode(line))
            tip = tip_after(line)
            line = sealed(job_draft("j1", summary, covered=number), tip)
        lines.append(encode(line))
        tip = tip_after(line)
    return lines
