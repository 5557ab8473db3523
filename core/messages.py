"""Chat messages as a model sees them."""

from typing import Literal, NotRequired

from .typed import TypedDict


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
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]


def system(text: str) -> Message:
    """Return a system message."""
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """Return a model's answer."""
    return {"role": "assistant", "content": text}
