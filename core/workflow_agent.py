"""A workflow's agent: it answers from earlier executions, or has the workflow run."""

from dataclasses import replace
from typing import Any

from .agent import Agent
from .chain import calls_before
from .inside import RunBooks
from .lines import RunLine
from .records import StepRecord, ToolRecord
from .step_books import Ended
from .step_names import name_beside
from .step_result import StepResult, result_of
from .step_runner import StepRunner
from .step_view import Scope
from .steps import Node, Step
from .store import SessionLog
from .tools import RUN_WORKFLOW, RunContext, ToolError, ToolSpec

_WHAT = (
    "Have the workflow run, and end your turn: its result is the answer to the user, and you do "
    "not get to see it. Call this for whatever needs a new execution. What the executions that you "
    "are told of answer already, answer yourself, without this."
)
_QUERY = {
    "type": "string",
    "description": "All that the workflow is to know: it sees nothing else of this conversation.",
}


class RunWorkflow:
    """Says with which input the workflow is to run: that is all that its agent has to say."""

    reads_session = False
    keeps_books = True
    is_answer = True

    def __init__(self, description: str = "") -> None:
        about = f"{_WHAT}\n\nThe workflow: {description}" if description else _WHAT
        parameters = {
            "type": "object",
            "properties": {"query": _QUERY},
            "required": ["query"],
            "additionalProperties": False,
        }
        self.spec = ToolSpec(RUN_WORKFLOW, about, parameters, is_foreign=True)

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Return the input."""
        query = str(arguments["query"])
        assert isinstance(context, RunBooks), "only a run has a workflow run"
        if any(map(_query_of, context.ended)):
            raise ToolError("the workflow is run once: it was called before with its query")
        if not query.strip():
            raise ToolError("the query is empty: say what the workflow is to do")
        return query

    def stop(self) -> None:
        """Nothing: it takes no time."""


def asking(agent: Agent, description: str, nodes: tuple[Node, ...]) -> Step:
    """Return what asks a workflow's agent, as a step with a name that no other has."""
    able = replace(agent, tools=(*agent.tools, RunWorkflow(description)))
    step = Step(able, add_workflow_history=True)
    return replace(step, name=name_beside(step, nodes))


def asked(agent: Step, steps: StepRunner, scope: Scope) -> str:
    """Ask a workflow's agent, once; return with which input the steps are to run.

    Raises Ended with what it has answered, if they are not to run.
    """
    key = scope.key(agent)
    before = steps.books.finished(key)
    if before is not None:
        result = result_of(before, steps.begun.log)
    else:
        runner = _AgentRunner(
            steps.view, steps.order, steps.begun, steps.books, steps.gates, steps.flow
        )
        result = runner.run(agent, key, scope)
    if result.stop:
        raise Ended(result)
    return result.content


class _AgentRunner(StepRunner):
    """Runs the agent: if it did not have the workflow run, its answer ends that."""

    def outcome(self, record: StepRecord, line: RunLine) -> StepResult:
        """Return the input that it gave, or its answer."""
        answer = super().outcome(record, line)
        query = _query(line, self.begun.log)
        if query is None:
            return replace(answer, stop=True)
        return replace(answer, content=query, data=None)


def _query(line: RunLine, log: SessionLog) -> str | None:
    """Return what the workflow is to be run with; None if its agent had no need of that."""
    return next(filter(None, map(_query_of, calls_before(log, line))), None)


def _query_of(call: ToolRecord) -> str | None:
    """Return the query of a call that has the workflow run; None for any other."""
    is_one = call["tool_name"] == RUN_WORKFLOW and not call["tool_call_error"]
    return call["result"] if is_one else None
