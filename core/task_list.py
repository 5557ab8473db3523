"""The tasks that a team's leader has set up in a run, as the calls that ended tell them.

Nothing else keeps them: a run that goes on with another has the calls of that one, and so its list.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from .messages import TASK_RESULTS, told_before
from .records import ToolRecord
from .text import shorten
from .tools import CREATE_TASK, EXECUTE_TASK, UPDATE_TASK, ToolError

TaskStatus = Literal["pending", "completed", "failed", "skipped"]
TaskId = str | int
"""As a leader says it: some write 1 where others write "1"."""


@dataclass(frozen=True)
class Task:
    """What a member is to do, and what came of it. It waits for those that it `depends_on`."""

    task_id: str
    title: str
    member_id: str
    description: str = ""
    depends_on: tuple[str, ...] = ()
    status: TaskStatus = "pending"
    result: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether it is done, or will never be."""
        return self.status in ("completed", "skipped")

    @property
    def words(self) -> str:
        """What the member is told to do."""
        return "\n\n".join(filter(None, (self.title, self.description)))

    def __str__(self) -> str:
        after = f", after {', '.join(self.depends_on)}" if self.depends_on else ""
        return f"{self.task_id} [{self.status}] {shorten(self.title)} ({self.member_id}{after})"


class TaskList:
    """The tasks of a run, by their ids: 1, 2, 3, in the order in which they were created."""

    def __init__(self, ended: Iterable[ToolRecord]) -> None:
        self.tasks: dict[str, Task] = {}
        for record in ended:
            with suppress(LookupError, TypeError, ToolError):  # of a line that somebody altered
                self._take(record)

    def _take(self, record: ToolRecord) -> None:
        name, arguments = record["tool_name"], record["tool_args"]
        failed = record["tool_call_error"]
        if name == CREATE_TASK and not failed:
            self._put(self.new(arguments))
        elif name == UPDATE_TASK and not failed:
            task = self.find(arguments["task_id"])
            result = arguments.get("result", "")
            self._put(replace(task, status=arguments["status"], result=result))
        elif name == EXECUTE_TASK and (not failed or "child_run_id" in record):
            task = self.find(arguments["task_id"])
            member = arguments.get("member_id", task.member_id)
            status: TaskStatus = "failed" if failed else "completed"
            self._put(replace(task, status=status, result=record["result"], member_id=member))

    def _put(self, task: Task) -> None:
        self.tasks[task.task_id] = task

    def new(self, arguments: Mapping[str, Any]) -> Task:
        """Return the next task; raise ToolError for one that waits for what is not there.

        As none waits for a later one, none waits for itself.
        """
        waits_for = [self.find(task_id).task_id for task_id in arguments.get("depends_on", ())]
        return Task(
            str(len(self.tasks) + 1),
            arguments["title"],
            arguments["member_id"],
            arguments.get("description", ""),
            tuple(dict.fromkeys(waits_for)),
        )

    def find(self, task_id: TaskId) -> Task:
        """Return the task; raise ToolError if there is none."""
        task = self.tasks.get(task_id if isinstance(task_id, str) else str(int(task_id)))
        if task is None:
            known = f"the tasks are: {', '.join(self.tasks)}" if self.tasks else "the list is empty"
            raise ToolError(f"there is no task {str(task_id)!r}; {known}")
        return task

    def unsettled(self, task_id: TaskId) -> Task:
        """Return a task that something can be done about; raise ToolError if there is none."""
        task = self.find(task_id)
        if task.is_settled:
            raise ToolError(
                f"task {task.task_id} is {task.status}: if more is to be done, create a task"
            )
        return task

    def executable(self, task_id: TaskId) -> Task:
        """Return a task that can be done now; raise ToolError if it cannot."""
        task = self.unsettled(task_id)
        waits_for = [before for before in self.before(task) if not before.is_settled]
        if not waits_for:
            return task
        shown = ", ".join(f"{before.task_id} ({before.status})" for before in waits_for)
        told = f"task {task.task_id} waits for others: {shown}; execute it when they are done"
        if any(before.status == "failed" for before in waits_for):
            told += f"; what failed can be executed again, or settled with {UPDATE_TASK}"
        raise ToolError(told)

    def before(self, task: Task) -> Sequence[Task]:
        """Return the tasks that this one waits for."""
        return [self.tasks[task_id] for task_id in task.depends_on]

    def left(self) -> Iterator[Task]:
        """Yield the tasks that nobody has done: one that failed was tried, and told."""
        return (task for task in self.tasks.values() if task.status == "pending")

    def __str__(self) -> str:
        return "\n".join(f"- {task}" for task in self.tasks.values()) or "The list is empty."


def task_results(tasks: Iterable[Task]) -> str:
    """Return what came of tasks, as a member is told it whose own task waited for them."""
    shown = "".join(
        f"- task: {task.title}\n  {task.status}: {task.result or '(nothing was said)'}\n"
        for task in tasks
    )
    return told_before(TASK_RESULTS, shown) if shown else ""


def tasks_done(ended: Iterable[ToolRecord]) -> Iterator[tuple[str, str, str]]:
    """Yield the tasks that members have done: who, what, and the answer."""
    for task in TaskList(ended).tasks.values():
        if task.status == "completed":
            yield task.member_id, task.words, task.result
