"""Standard output for the run's answer only: what a function of somebody else's prints is told
apart by its thread, and goes to standard error."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_thread = threading.local()


class _ByThread:
    """Standard output; in the threads of tools, standard error."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if getattr(_thread, "is_tool", False) else self._real, name)


def this_thread_is_a_tool() -> None:
    """Keep what this thread prints away from standard output."""
    _thread.is_tool = True


@contextmanager
def apart() -> Iterator[None]:
    """Tell the threads of tools from the others, as long as the block lasts."""
    real = sys.stdout
    sys.stdout = _ByThread(real)
    try:
        yield
    finally:
        sys.stdout = real
