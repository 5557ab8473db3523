"""How OpenAI's library sends the messages of our calls: as they are.

It looks through each for keys that have another name on the wire. Ours have none, and for ten
thousand turns that takes longer than all else.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

_calling = ContextVar("calling", default=False)


@contextmanager
def our_call() -> Iterator[None]:
    """Have what is sent in this block, in this thread, be ours, and not another user's of the
    library in this process."""
    before = _calling.set(True)
    try:
        yield
    finally:
        _calling.reset(before)


@cache
def send_our_messages_as_they_are() -> None:
    """Keep the library, if it is loaded, from looking through messages of ours."""
    library: Any = sys.modules.get("openai._utils._transform")
    looked_through = getattr(library, "transform", None)
    if looked_through is None:
        return

    def transform(data: Any, expected_type: object) -> Any:
        ours = _calling.get() and isinstance(data, dict) and isinstance(data.get("messages"), list)
        if not ours:
            return looked_through(data, expected_type)
        rest = {key: value for key, value in data.items() if key != "messages"}
        return {**looked_through(rest, expected_type), "messages": data["messages"]}

    library.transform = transform
