"""What the steps of a workflow are told of its earlier executions."""

from itertools import islice

from .lines import Line
from .messages import WORKFLOW_HISTORY, told_before
from .session import is_top_run
from .store import SessionLog

_LINES = 1000
"""Of a session, looked at for executions."""


def history_of_workflow(log: SessionLog, most: int, of: str | None = None) -> str:
    """Return the last completed executions of the session, oldest first, as a step is told them.

    They are those that somebody asked for; with `of` those of the workflow of that name that were
    made inside others.
    """
    lines = islice(log.newest(), _LINES)
    found = [line for line in lines if _is_execution(line, of)][: max(0, most)]
    if not found:
        return ""
    shown = "".join(
        f"[Workflow Run-{number}]\nUser input: {line['input']}\n"
        f"Workflow output: {line['content']}\n\n"
        for number, line in enumerate(reversed(found), 1)
        if line["type"] == "run"
    )
    return told_before(WORKFLOW_HISTORY, shown)


def _is_execution(line: Line, of: str | None) -> bool:
    if line["type"] != "run" or line["kind"] != "workflow" or line["status"] != "COMPLETED":
        return False
    return is_top_run(line) if of is None else not is_top_run(line) and line["name"] == of
