"""Options of a model that somebody may set, and those that are clew's own."""

import json
from typing import Any

from .errors import UsageError
from .state import storable_value
from .text import is_secret_name

_ADDRESSES = frozenset({"base_url", "api_base", "extra_headers", "headers"})
_CLEWS_OWN = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "timeout",
        "request_timeout",
        "n",
        "num_retries",
        "max_retries",
        "fallbacks",
        "context_window_fallback_dict",
        "mock_response",
        "custom_llm_provider",
        "deployment_id",
        "model_list",
    ]
)
"""Which model answers, how often it is asked, and how it is read: the run's line tells all that."""


def parsed(text: str) -> Any:
    """Return what the text of an option means: JSON where it is JSON, else itself."""
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def checked(key: str, value: Any, what: str) -> Any:
    """Return an option's value as it can be stored; raise UsageError if it may not be set."""
    if key in _CLEWS_OWN:
        hint = "clew sets it itself; see --retries, --timeout and --stream"
        raise UsageError(f"{what}: not a model option", hint=hint)
    if is_secret_name(key) or key in _ADDRESSES:
        hint = "keys and addresses come from the environment"
        raise UsageError(f"{what}: not a model option", hint=hint)
    storable = storable_value(value, what)
    if _has_secret(storable):
        raise UsageError(f"{what}: there is a key in it", hint="keys come from the environment")
    return storable


def _has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(is_secret_name(key) or _has_secret(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_secret, value))
