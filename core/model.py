"""What a model is to clew: it takes messages, gives text, and says what that cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from .media import MediaKind
from .messages import Message, ToolCall
from .usage import Usage, no_usage


@dataclass(frozen=True)
class ModelRequest:
    """One request to a model."""

    messages: list[Message]
    input: str
    """The run's own input, by which a recorded answer is found."""
    options: dict[str, Any] = field(default_factory=dict)
    """Model options by the provider's names, such as temperature."""
    max_tokens: int | None = None
    """The longest answer, in tokens."""
    tools: list[dict[str, Any]] = field(default_factory=list)
    """The tools that the model may call, in the form of the OpenAI chat protocol."""
    may_call: bool = True
    """Whether it may call them now: those that it called before have to be there all the same."""
    schema: dict[str, Any] | None = None
    """The JSON Schema that the answer is to fit."""
    stream: bool = True
    seconds: float | None = None
    """How long the whole request may take."""
    attachments: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What the messages have attached, by sha256: see `media.expanded`."""


@dataclass(frozen=True)
class ModelReply:
    """How an answer ended; its text went to the listener."""

    finish_reason: str | None
    usage: Usage
    resolved_model: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the model wants to call; each id is there once."""


@dataclass(frozen=True)
class Price:
    """US dollars for one token."""

    input: float
    output: float


def estimated_usage(sent: int, out: int, price: Price | None) -> Usage:
    """Return the usage of an answer, whole or not, whose tokens nobody reported."""
    return {
        **no_usage(),
        "input_tokens": sent,
        "output_tokens": out,
        "total_tokens": sent + out,
        "cost": price.input * sent + price.output * out if price else None,
        "estimated": True,
    }


class Model(Protocol):
    """A model that can be asked."""

    @property
    def name(self) -> str:
        """The name it was asked for by."""

    @property
    def window(self) -> int | None:
        """How many tokens a request and its answer may have; None where that is not known."""

    @property
    def price(self) -> Price | None:
        """What a token costs; None where that is not known."""

    @property
    def takes_schema(self) -> bool:
        """Whether the model can be held to a JSON Schema; otherwise it has to be told."""

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Send one request, no retry; call `on_text` with each piece of the answer as it comes.

        Raises ModelError, or one of its kinds, when no whole answer came: a stream that ends
        without saying why is no answer. Nothing of a provider's own errors passes.
        """


@runtime_checkable
class Refusing(Protocol):
    """A model that may know what it cannot be sent; any other one is asked to find out."""

    def refuses(self, kind: MediaKind) -> bool:
        """Tell whether it surely takes no attachment of this kind."""
