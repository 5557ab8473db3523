"""Any model that litellm knows. The only importer of litellm, and where its errors end.

litellm takes seconds and 165 MB to import; unasked, it fetches a price list from the network,
reads `.env` files of the current folder, sends failed requests again, and takes a stream that
broke off for a whole answer.
"""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from .errors import ClewError, NotFoundError, ProviderDown
from .history import tokens_of
from .lazy_packages import load_by_name
from .litellm_errors import translated
from .media import MediaKind, expanded
from .model import ModelReply, ModelRequest, Price, estimated_usage
from .our_calls import make_ours_short, our_call
from .run_environment import keep_as_given, set_for_clew
from .text import is_secret_name, storable
from .tool_calls import ToolCallPieces
from .usage import Usage, estimate_tokens, no_usage

SILENCE_SECONDS = 300.0
"""So long a model may say nothing."""
_MOST_TOKENS = 10**9
_FLAGS: dict[MediaKind, str] = {
    "image": "supports_vision",
    "pdf": "supports_pdf_input",
    "audio": "supports_audio_input",
}


class LitellmModel:
    """A model by litellm's name for it; keys and addresses come from the environment, as litellm
    reads them.

    An embedded model gives its own address, key and price, and what it is `called`.
    """

    def __init__(
        self,
        name: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        called: str | None = None,
        price: Price | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._name = name
        self.name = called or name
        self._resolved = called
        self._own_price = price
        self._silence = silence
        self._key = api_key
        self._address = {"api_base": api_base, "api_key": api_key} if api_base else {}

    @cached_property
    def _info(self) -> dict[str, Any]:
        """What litellm knows of the model; empty for a model that is not in its list."""
        litellm = load()
        try:
            litellm.get_llm_provider(self._name)
        except Exception as error:
            raise NotFoundError(
                f"no model {self.name!r}: litellm knows no provider for that name",
                hint="write PROVIDER/MODEL, such as openai/gpt-4o-mini; see `clew models list`",
            ) from error
        try:
            return dict(litellm.get_model_info(self._name))
        except Exception:
            return {}

    @property
    def window(self) -> int | None:
        """How many tokens a request may have. Raises NotFoundError for a name without a
        provider."""
        window = self._info.get("max_input_tokens")
        return int(window) if window else None

    @property
    def price(self) -> Price | None:
        """What a token costs by litellm's list."""
        if self._own_price is not None:
            return self._own_price
        costs = (self._info.get("input_cost_per_token"), self._info.get("output_cost_per_token"))
        return None if None in costs else Price(float(costs[0] or 0), float(costs[1] or 0))

    @property
    def takes_schema(self) -> bool:
        """Whether litellm says that the provider takes a JSON Schema."""
        return bool(self._info.get("supports_response_schema"))

    def refuses(self, kind: MediaKind) -> bool:
        """Tell whether litellm says that the model takes no such attachment.

        It says so of few: where it says nothing, the provider decides.
        """
        return self._info.get(_FLAGS[kind]) is False

    @property
    def missing_keys(self) -> list[str]:
        """The variables that litellm looks for, for this provider, and does not find."""
        if self._key is not None:
            return []
        missing = load().validate_environment(self._name).get("missing_keys") or []
        return [str(name) for name in missing]

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Send one request, exactly once."""
        litellm = load()
        heard: list[str] = []

        def hear(text: str) -> None:
            heard.append(text)
            on_text(text)

        with our_call():
            with self._border():
                response = litellm.completion(**self._arguments(request))
            reply = (self._streamed if request.stream else self._whole)(response, hear)
        if reply.usage["estimated"]:
            sent, out = tokens_of(request.messages), estimate_tokens("".join(heard))
            return replace(reply, usage=estimated_usage(sent, out, self.price))
        return reply

    @contextmanager
    def _border(self) -> Iterator[None]:
        """Turn litellm's errors into ours; what `on_text` raises must not come through here."""
        try:
            yield
        except ClewError:
            raise
        except Exception as error:
            raise translated(error, self.name, self._key) from error

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        seconds = min(self._silence, request.seconds or self._silence)
        arguments: dict[str, Any] = {
            **request.options,
            **self._address,
            "model": self._name,
            "messages": expanded(request.messages, request.attachments),
            "timeout": max(seconds, 0.001),
            "num_retries": 0,
            "max_retries": 0,
            "stream": request.stream,
        }
        if request.stream:
            arguments["stream_options"] = {"include_usage": True}
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        if request.tools:
            arguments["tools"] = request.tools
            if not request.may_call:
                arguments["tool_choice"] = "none"
            # litellm would import its own handler of MCP tools, which needs a package of its own.
            arguments["_skip_mcp_handler"] = True
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        return arguments

    def _streamed(self, stream: Any, on_text: Callable[[str], None]) -> ModelReply:
        usage: Any = None
        resolved = self._resolved
        wanted = ToolCallPieces()
        chunks = iter(stream)
        while True:
            with self._border():
                chunk = next(chunks, None)
                if chunk is None:
                    break
                resolved = self._resolved or chunk.model or resolved
                usage = getattr(chunk, "usage", None) or usage
                delta = chunk.choices[0].delta if chunk.choices else None
                text = getattr(delta, "content", None) or ""
                wanted.add(getattr(delta, "tool_calls", None) or [])
            on_text(text)
            if stream.sent_stream_usage:
                break  # nothing comes after that, and litellm would add everything up once more
        if stream.received_finish_reason is None:
            raise ProviderDown("the answer broke off: the stream ended without a finish reason")
        reported = any(getattr(chunk, "usage", None) for chunk in stream.chunks)
        reason = _text(stream.received_finish_reason)
        used = self._usage(usage, reported)
        return ModelReply(reason, used, _text(resolved), wanted.whole())

    def _whole(self, response: Any, on_text: Callable[[str], None]) -> ModelReply:
        with self._border():
            if not response.choices:
                raise ProviderDown("the provider's response holds no answer (no choices)")
            choice = response.choices[0]
            text = choice.message.content or ""
            wanted = ToolCallPieces()
            wanted.add(choice.message.tool_calls or [], each_is_whole=True)
            usage = getattr(response, "usage", None)
        on_text(text)
        reported = bool(usage and usage.total_tokens)
        resolved = self._resolved or response.model
        used = self._usage(usage, reported)
        return ModelReply(_text(choice.finish_reason), used, _text(resolved), wanted.whole())

    def _usage(self, usage: Any, reported: bool) -> Usage:
        """Return the usage as reported; `estimated` where it has to be estimated."""
        sent, out = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
        if not reported or sent is None or out is None:
            return {**no_usage(), "estimated": True}
        details = getattr(usage, "prompt_tokens_details", None)
        written = getattr(usage, "completion_tokens_details", None)
        return {
            "input_tokens": sent,
            "output_tokens": out,
            "total_tokens": sent + out,
            "cache_read_tokens": _count(details, "cached_tokens") or 0,
            "cache_write_tokens": _count(usage, "cache_creation_input_tokens") or 0,
            "reasoning_tokens": _count(written, "reasoning_tokens") or 0,
            "cost": self._cost(usage),
            "estimated": False,
        }

    def _cost(self, usage: Any) -> float | None:
        """Return what a call cost; None where the price is not known."""
        if self._own_price is not None:
            return 0.0
        if self.price is None:
            return None
        try:
            costs = load().cost_per_token(model=self._name, usage_object=usage)
        except Exception:
            return None
        return round(float(sum(costs)), 10)


def _text(value: Any) -> str | None:
    """Return a word of the provider's as text; None for what is none."""
    return storable(value) if isinstance(value, str) else None


def _count(usage: Any, name: str) -> int | None:
    """Return a count of tokens; None for one that cannot be: some providers report nonsense."""
    count = getattr(usage, name, None) or 0
    return count if isinstance(count, int) and 0 <= count <= _MOST_TOKENS else None


def leave_nothing() -> None:
    """Let go of the connections and the loop of the calls so far: this process is to be copied, and
    neither goes along."""
    import asyncio

    load().in_memory_llm_clients_cache.flush_cache()
    asyncio.set_event_loop_policy(None)  # litellm makes a loop, with a socket, to log in
    gc.collect()


def load() -> Any:
    """Import litellm: offline, silent, and deaf to what stands in the current folder."""
    set_for_clew("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    set_for_clew("LITELLM_MODE", "PRODUCTION")
    keep_as_given("TIKTOKEN_CACHE_DIR")
    for name in filter(is_secret_name, list(os.environ)):
        # A key that was read from a file brings a newline along, which no HTTP header can hold.
        os.environ[name] = os.environ[name].strip()
    load_by_name()
    import litellm

    make_ours_short(litellm)
    litellm.suppress_debug_info = True
    litellm.disable_streaming_logging = True  # nobody listens, and each word would be logged
    litellm.disable_token_counter = True  # it would load its tokenizer before the first word
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize  # "ha" a hundred times is an answer, too
    litellm.telemetry = False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return litellm
