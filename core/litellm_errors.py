"""What becomes of an error of litellm's: one of ours, in one short line, without the key."""

import re
from typing import Any

from .errors import ModelError, NotAllowed, ProviderDown, RateLimited, RequestRefused
from .text import redact, shorten, storable

_LONGEST_MESSAGE = 300
_PREFIX = re.compile(r"^(?:litellm\.)?\w*(?:Error|Exception|Timeout)\s*(?::|-)\s*")
_SUFFIX = re.compile(
    r" Original exception: |, Received response - | Traceback \(most recent call last\)"
)
_NO_KEY = re.compile(r"\bmissing (?:credentials|\w+ api[ _]key)\b", re.IGNORECASE)
"""Only some of litellm's providers have a class of error for this."""


class UnknownModel(ModelError):
    """The provider has no model of that name."""

    kind = "not_found"
    exit_code = 3


ERRORS: dict[str, type[ModelError]] = {
    "APIConnectionError": ProviderDown,
    "APIError": ProviderDown,
    "APIResponseValidationError": ProviderDown,
    "AuthenticationError": NotAllowed,
    "BadGatewayError": ProviderDown,
    "BadRequestError": RequestRefused,
    "BlockedPiiEntityError": RequestRefused,
    "BudgetExceededError": RequestRefused,
    "ContentPolicyViolationError": RequestRefused,
    "ContextWindowExceededError": RequestRefused,
    "GuardrailRaisedException": RequestRefused,
    "ImageFetchError": RequestRefused,
    "InternalServerError": ProviderDown,
    "InvalidRequestError": RequestRefused,
    "JSONSchemaValidationError": ProviderDown,
    "LiteLLMUnknownProvider": UnknownModel,
    "MidStreamFallbackError": ProviderDown,
    "MockException": ProviderDown,
    "ModelNotMappedError": UnknownModel,
    "ModifyResponseException": RequestRefused,
    "NotFoundError": UnknownModel,
    "OpenAIError": ProviderDown,
    "PaymentRequiredError": RequestRefused,
    "PermissionDeniedError": NotAllowed,
    "RateLimitError": RateLimited,
    "RejectedRequestError": RequestRefused,
    "SensitiveDataRouteException": RequestRefused,
    "ServiceUnavailableError": ProviderDown,
    "Timeout": ProviderDown,
    "UnprocessableEntityError": RequestRefused,
    "UnsupportedParamsError": RequestRefused,
    "VectorStoreSearchError": RequestRefused,
}
"""Ours for each of litellm's, by name. A new one of theirs fails a test until it has its line
here."""

_HINTS: dict[type[ModelError], str] = {
    NotAllowed: "check the provider's key in the environment, and what it is allowed to do",
    UnknownModel: "see `clew models list` for names, and write PROVIDER/MODEL",
}
_KEY_HINT = "set the provider's key in the environment: OPENAI_API_KEY, ANTHROPIC_API_KEY, …"
_WINDOW_HINT = "send less: --history-runs N, or a shorter prompt"


def translated(error: Exception, model: str, key: str | None) -> ModelError:
    """Return our error for one of litellm's, met by `model`; `key` never stands in it."""
    names = [cls.__name__ for cls in type(error).__mro__]
    ours = _class_for(names, getattr(error, "status_code", None))
    text = str(error)
    hint = _WINDOW_HINT if "ContextWindowExceededError" in names else _HINTS.get(ours)
    if _NO_KEY.search(text):
        ours, hint = NotAllowed, _KEY_HINT
    if key:
        text = text.replace(key, "[redacted]")
    reason = _reason(redact(storable(text))) or type(error).__name__
    return ours(f"{model}: {reason}", hint=hint, retry_after=_retry_after(error))


def _class_for(names: list[str], status: Any) -> type[ModelError]:
    """Return our class of error. The status says more than litellm's class, which is often the
    next best."""
    ours = next((ERRORS[name] for name in names if name in ERRORS), ProviderDown)
    if ours is UnknownModel or not isinstance(status, int):
        return ours
    known = {
        401: NotAllowed,
        403: NotAllowed,
        404: UnknownModel,
        408: ProviderDown,
        429: RateLimited,
    }
    if status in known:
        return known[status]
    return RequestRefused if 400 <= status < 500 else ProviderDown


def _reason(text: str) -> str:
    """Return litellm's message in one short line, without the names of classes before it."""
    text = _SUFFIX.split(" ".join(text.split()))[0]
    while (shorter := _PREFIX.sub("", text, count=1)) != text:
        text = shorter
    return shorten(text, _LONGEST_MESSAGE)


def _retry_after(error: Exception) -> float | None:
    """Return how many seconds the provider asks to wait."""
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        try:
            return float(headers["retry-after"])  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            continue
    return None
