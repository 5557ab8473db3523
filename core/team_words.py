"""What a team's leader and its members are told of each other."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal

from .messages import INTERACTIONS, TEAM_HISTORY, told_before
from .records import ToolRecord
from .session import is_turn
from .store import SessionLog
from .tools import CREATE_TASK, DELEGATE, EXECUTE_TASK, UPDATE_TASK

Mode = Literal["coordinate", "route", "broadcast", "tasks"]
_LINES = 1000
"""Of a session, looked at for the exchanges that members are told."""
_HOW: dict[Mode, str] = {
    "coordinate": (
        f"Have members do what they are good at, with {DELEGATE}: several calls at once are done "
        "at once. A member sees nothing but the task that you write, so say all that it needs. "
        "Then answer yourself, from what the members say."
    ),
    "route": (
        f"Give the request to the one member that suits it best, with {DELEGATE}, in full: what "
        "the member says goes to the user as it is."
    ),
    "broadcast": (
        "All members are asked what you are asked. Answer yourself, from what the members say."
    ),
    "tasks": (
        f"Split what you are asked into tasks with {CREATE_TASK}, each for the member that suits "
        "it best. A member sees nothing but its task and the results of those that it depends on, "
        f"so say all that it needs. Have the tasks done with {EXECUTE_TASK}: several calls at once "
        f"are done at once. Settle with {UPDATE_TASK} what no member is to do. When no task is "
        "left, answer yourself, from what the members say."
    ),
}


def introduction(members: Mapping[str, str], mode: Mode) -> str:
    """Return what the leader is told of its team: `members` are descriptions by name."""
    shown = "\n".join(
        f"- {name}: {what}" if what else f"- {name}" for name, what in members.items()
    )
    return f"You lead a team. {_HOW[mode]}\n<team_members>\n{shown}\n</team_members>"


def history_of_team(log: SessionLog, most: int) -> str:
    """Return the last exchanges of the session as a member is told them, oldest first."""
    turns = [line for line in islice(log.newest(), _LINES) if is_turn(line)][:most]
    if not turns:
        return ""
    shown = "".join(
        f"[run-{number}]\ninput: {line['input']}\nresponse: {line['content']}\n\n"
        for number, line in enumerate(reversed(turns), 1)
    )
    return told_before(TEAM_HISTORY, shown)


def delegated(ended: Iterable[ToolRecord]) -> Iterator[tuple[str, str, str]]:
    """Yield what members were asked and said: who, what, and the answer."""
    for record in ended:
        if record["tool_name"] == DELEGATE and not record["tool_call_error"]:
            asked = record["tool_args"]
            yield asked["member_id"], asked.get("task", "what the team was asked"), record["result"]


def interactions(said: Iterable[tuple[str, str, str]]) -> str:
    """Return what other members were asked and said in this run, as a member is told it."""
    shown = [f"- member: {who}\n  task: {task}\n  answer: {text}\n" for who, task, text in said]
    if not shown:
        return ""
    return told_before(INTERACTIONS, "".join(shown))
