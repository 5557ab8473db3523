"""Standard output for the run's answer only: what code of somebody else's prints is told apart by
its thread, and goes to standard error."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_thread = threading.local()
_lock = threading.Lock()


class _ByThread:
    """Standard output; in the threads that are kept apart, standard error."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.inside = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if getattr(_thread, "is_apart", False) else self.real, name)


@contextmanager
def apart() -> Iterator[None]:
    """Keep what this thread prints away from standard output, as long as the block lasts."""
    _enter()
    before, _thread.is_apart = getattr(_thread, "is_apart", False), True
    try:
        yield
    finally:
        _thread.is_apart = before
        _leave()


def _enter() -> None:
    with _lock:
        if not isinstance(sys.stdout, _ByThread):
            sys.stdout = _ByThread(sys.stdout)
        sys.stdout.inside += 1


def _leave() -> None:
    with _lock:
        ours = sys.stdout
        if isinstance(ours, _ByThread):
            ours.inside -= 1
            if not ours.inside:
                sys.stdout = ours.real
