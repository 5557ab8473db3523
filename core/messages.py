"""Chat messages as a model sees them."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NotRequired

from .typed import TypedDict

TEAM_HISTORY, INTERACTIONS, TASK_RESULTS, WORKFLOW_HISTORY = (
    "team_history_context",
    "member_interaction_context",
    "task_results",
    "workflow_history_context",
)
"""What a member, or a step, is told ahead of its task stands between such tags."""


_TOLD = rf"(?:<({TEAM_HISTORY}|{INTERACTIONS}|{TASK_RESULTS}|{WORKFLOW_HISTORY})>\n.*?</\1>\n\n)+"


def told_before(tag: str, text: str) -> str:
    """Return a text as a member is told it ahead of its task."""
    return f"<{tag}>\n{text}</{tag}>\n\n"


class FileRecord(TypedDict):
    """A file that goes along with a prompt."""

    name: str
    mime: str
    bytes: int
    sha256: str


class LeftOut(TypedDict):
    """An attachment that a request goes without; a short text stands in its place."""

    name: str
    sha256: str
    reason: str


class ToolFunction(TypedDict):
    """Which tool a model calls; `arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """A model's wish to call a tool."""

    id: str
    type: Literal["function"]
    function: ToolFunction


class Message(TypedDict):
    """One message, in the form of the OpenAI chat protocol."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    attachments: NotRequired[list[FileRecord]]
    """Images, PDF and audio that went along; their bytes are kept apart, by sha256."""
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]


def system(text: str) -> Message:
    """Return a system message."""
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    """Return a user message."""
    return {"role": "user", "content": text}


def task_alone(message: Message) -> Message:
    """Return a task without what its member was told ahead of it: that was true at that time."""
    told = re.match(_TOLD, message["content"], re.DOTALL) if message["role"] == "user" else None
    return {**message, "content": message["content"][told.end() :]} if told else message


def assistant(text: str, tool_calls: Sequence[ToolCall] = ()) -> Message:
    """Return what a model said, and which tools it wants to call."""
    message: Message = {"role": "assistant", "content": text}
    return {**message, "tool_calls": list(tool_calls)} if tool_calls else message


def tool_result(tool_call_id: str, text: str) -> Message:
    """Return the result of a tool call."""
    return {"role": "tool", "content": text, "tool_call_id": tool_call_id}


def open_calls(messages: Iterable[Message]) -> list[ToolCall]:
    """Return the tool calls that have no result: a provider takes no request with such."""
    wanted: dict[str, ToolCall] = {}
    for message in messages:
        wanted |= {call["id"]: call for call in message.get("tool_calls", [])}
        wanted.pop(message.get("tool_call_id", ""), None)
    return list(wanted.values())


def last_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """Return the calls of the last answer, if nothing but their results came after it."""
    said = next((message for message in reversed(messages) if message["role"] != "tool"), None)
    return [] if said is None else said.get("tool_calls", [])


def in_call_order(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with the results of each answer in the order of its calls.

    A call that waited for somebody has its result after those that did not.
    """
    ordered: list[Message] = []
    places: dict[str, int] = {}
    results = 0
    for message in messages:
        ordered.append(message)
        if message["role"] != "tool":
            places = {call["id"]: n for n, call in enumerate(message.get("tool_calls", []))}
            results = 0
            continue
        results += 1
        ordered[-results:] = sorted(
            ordered[-results:], key=lambda each: places.get(each.get("tool_call_id", ""), 0)
        )
    return ordered
