"""What libraries do in each call, and what ours can do without.

Other users of them, in this process, are served as ever.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

_calling = ContextVar("calling", default=False)


@contextmanager
def our_call() -> Iterator[None]:
    """Have what is done in this block, in this thread, be a call of ours."""
    before = _calling.set(True)
    try:
        yield
    finally:
        _calling.reset(before)


@cache
def make_ours_short(litellm: Any) -> None:
    """Keep litellm, and OpenAI's library, if it is loaded, from doing for us what nobody needs."""
    _reckon_no_cost(litellm)
    _log_nothing(litellm.utils.executor)
    library: Any = sys.modules.get("openai._utils._transform")
    if hasattr(library, "transform"):
        _send_messages_as_they_are(library)


def _reckon_no_cost(litellm: Any) -> None:
    """litellm reckons several times what a call has cost, for those who log it; of a model without
    a price it makes tracebacks. For us it is asked once."""
    reckoned = litellm.response_cost_calculator

    def response_cost_calculator(*arguments: Any, **named: Any) -> Any:
        return None if _calling.get() else reckoned(*arguments, **named)

    litellm.response_cost_calculator = response_cost_calculator


def _log_nothing(executor: Any) -> None:
    """litellm starts a thread to tell loggers of a call, and has none to tell of ours."""
    submitted = executor.submit

    def submit(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return Future() if _calling.get() else submitted(work, *arguments, **named)

    executor.submit = submit


def _send_messages_as_they_are(library: Any) -> None:
    """OpenAI's library looks through each message for keys that have another name on the wire. Ours
    have none, and for ten thousand turns that takes longer than all else."""
    looked_through = library.transform

    def transform(data: Any, expected_type: object) -> Any:
        ours = _calling.get() and isinstance(data, dict) and isinstance(data.get("messages"), list)
        if not ours:
            return looked_through(data, expected_type)
        rest = {key: value for key, value in data.items() if key != "messages"}
        return {**looked_through(rest, expected_type), "messages": data["messages"]}

    library.transform = transform
