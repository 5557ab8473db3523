"""With what a team's leader sets up tasks, has its members do them, and keeps track of them."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

from .agenda import Agenda
from .delegation import Members
from .inside import RunBooks, RunInside
from .task_list import TaskList, task_results
from .tools import (
    CREATE_TASK,
    EXECUTE_TASK,
    LIST_TASKS,
    UPDATE_TASK,
    RunContext,
    Tool,
    ToolError,
    ToolSpec,
)

_NUMBER = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
_ID = {**_NUMBER, "description": "The task's number, as it was told when it was created."}


def task_tools(members: Members) -> tuple[Tool, ...]:
    """Return the tools of a leader that works through a list of tasks."""
    names = list(members.runnables)
    return (CreateTask(names), ExecuteTask(members), UpdateTaskStatus(), ListTasks())


def agenda(max_iterations: int) -> Agenda:
    """Return what has the leader go on until its tasks are done."""
    return Agenda(
        lambda ended: [str(task) for task in TaskList(ended).left()],
        max_iterations,
        how=f"Go on: do them with {EXECUTE_TASK}, or settle with {UPDATE_TASK} what is not to be "
        "done. Answer when no task is left.",
        hint="the team's `max_iterations` sets it; `clew continue --resume` goes on",
    )


class _Books:
    """A tool that writes into the list, or reads it: the record of its call is what it writes."""

    reads_session = False
    keeps_books = True

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Return what the leader is told of it."""
        assert isinstance(context, RunBooks), "only a run has tasks"
        return self.write(arguments, TaskList(context.ended))

    def write(self, arguments: dict[str, Any], tasks: TaskList) -> str:
        """Return what the leader is told; raise ToolError for what is not to be written."""
        raise NotImplementedError

    def stop(self) -> None:
        """Nothing: it takes no time."""


class CreateTask(_Books):
    """Puts a task on the list."""

    def __init__(self, members: Sequence[str]) -> None:
        depends_on = "The numbers of tasks that have to be done before; their results go with it."
        properties = {
            "title": {"type": "string", "description": "What is to be done."},
            "description": {
                "type": "string",
                "description": "All that the member has to know: it sees nothing else.",
            },
            "member_id": {"type": "string", "enum": list(members)},
            "depends_on": {"type": "array", "items": _NUMBER, "description": depends_on},
        }
        what = "Put a task on the team's list. The tasks are numbered 1, 2, 3 as they are created."
        self.spec = _spec(CREATE_TASK, what, properties, ["title", "member_id"])

    def write(self, arguments: dict[str, Any], tasks: TaskList) -> str:
        """Put it on the list."""
        if not arguments["title"].strip():
            raise ToolError("the title is empty: say what the member is to do")
        return f"created: task {tasks.new(arguments)}"


class UpdateTaskStatus(_Books):
    """Settles a task that no member is to do."""

    def __init__(self) -> None:
        properties = {
            "task_id": _ID,
            "status": {"type": "string", "enum": ["completed", "skipped"]},
            "result": {
                "type": "string",
                "description": "What came of it, or why it is skipped: later tasks are told.",
            },
        }
        what = "Settle a task that no member is to do: you did it yourself, or it is skipped."
        self.spec = _spec(UPDATE_TASK, what, properties, ["task_id", "status"])

    def write(self, arguments: dict[str, Any], tasks: TaskList) -> str:
        """Settle it."""
        task = tasks.unsettled(arguments["task_id"])
        return f"task {task.task_id} is {arguments['status']}"


class ListTasks(_Books):
    """Shows the list."""

    spec = ToolSpec(LIST_TASKS, "Show the team's tasks, and how each stands.", is_foreign=True)

    def write(self, arguments: dict[str, Any], tasks: TaskList) -> str:
        """Show it."""
        return str(tasks)


class ExecuteTask:
    """Has a member do a task of the list."""

    reads_session = True
    makes_runs = True

    def __init__(self, members: Members) -> None:
        self._members = members
        self._taken: set[tuple[int, str]] = set()
        self._lock = Lock()
        properties = {
            "task_id": _ID,
            "member_id": {
                "type": "string",
                "enum": list(members.runnables),
                "description": "Who does it, if not the member for whom it was created.",
            },
        }
        what = (
            "Have the member do a task, and return what it says. Several calls at once are done at "
            "once. A task that failed may be executed again."
        )
        self.spec = _spec(EXECUTE_TASK, what, properties, ["task_id"])

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Have it done, and return what the member says."""
        assert isinstance(context, RunInside), "only a run has members work"
        ended = context.inside.ended
        tasks = TaskList(ended)
        task = tasks.executable(arguments["task_id"])
        name = arguments.get("member_id", task.member_id)
        if name not in self._members.runnables:  # it was there when the task was created
            raise ToolError(f"the team has no member {name!r} any more: say who is to do it")
        self._take(len(ended), task.task_id)
        told = task_results(tasks.before(task))
        return self._members.work(name, task.words, context, told)

    def _take(self, before: int, task_id: str) -> None:
        """Raise ToolError if another call of the same answer does the task: both saw it undone."""
        once = (before, task_id)
        with self._lock:
            if once in self._taken:
                raise ToolError(f"task {task_id} is done by another call of this answer")
            self._taken.add(once)

    def stop(self) -> None:
        """Nothing: the members' runs see for themselves that they are to stop."""


def _spec(name: str, what: str, properties: dict[str, Any], required: list[str]) -> ToolSpec:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return ToolSpec(name, what, parameters, is_foreign=True)
