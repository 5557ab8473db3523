"""Work that is given up when its time is over, whatever it waits for.

A provider can keep a connection busy for ever without a word of the answer, and no time-out of a
socket notices. So the work is done in a thread of its own, and this one watches the clock. Nor does
a signal reach every thread that waits: this one looks whether it is to stop.
"""

import math
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .stop import Stop

T = TypeVar("T")
_LOOK_SECONDS = 0.1
_LONGEST_WAIT = 3600.0


class TimeIsUp(Exception):
    """The work was not done in time."""


class _Abandoned(Exception):
    """Nobody waits for the work any more."""


def within(
    seconds: float | None,
    work: Callable[[Callable[[str], None]], T],
    on_text: Callable[[str], None],
    stop: Stop | None = None,
) -> T:
    """Return what `work` returns; pass what it gives piece by piece on to `on_text`, in order.

    Raises TimeIsUp after so many seconds (None: never), Cancelled when `stop` says so; the thread
    then ends with its next piece, or with the process. What `work` or `on_text` raises passes
    through.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds
    given: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    outcome: list[T] = []
    failure: list[BaseException] = []
    abandoned = threading.Event()

    def give(piece: str) -> None:
        if abandoned.is_set():
            raise _Abandoned
        given.put(piece)

    def do() -> None:
        try:
            outcome.append(work(give))
        except BaseException as error:
            failure.append(error)

    _in_a_thread(do, lambda: given.put(None))
    try:
        while (piece := _next(given, end, stop)) is not None:
            on_text(piece)
    finally:
        abandoned.set()
    if failure:
        raise failure[0]
    return outcome[0]


def dismiss() -> None:
    """End the threads that wait for work."""
    for todo in _idle:
        todo.put(None)
    _idle.clear()


_Todo = queue.SimpleQueue[tuple[Callable[[], None], Callable[[], None]] | None]
_idle: list[_Todo] = []
os.register_at_fork(after_in_child=_idle.clear)  # no thread goes along


def _in_a_thread(work: Callable[[], None], then: Callable[[], None]) -> None:
    """Have work done, which raises nothing, by a thread that has no other.

    Starting one takes a good part of the time that a run takes beside its model: it is kept.
    """
    try:
        todo = _idle.pop()
    except IndexError:
        todo = queue.SimpleQueue()
        threading.Thread(target=_work_off, args=(todo,), daemon=True).start()
    todo.put((work, then))


def _work_off(todo: _Todo) -> None:
    while (wanted := todo.get()) is not None:
        work, then = wanted
        work()
        _idle.append(todo)
        then()
        del wanted, work, then


def _next(given: "queue.SimpleQueue[str | None]", end: float, stop: Stop | None) -> str | None:
    while True:
        left = max(0.0, end - time.monotonic())
        if stop is not None:
            stop.check()
        try:
            return given.get(timeout=min(left, _LONGEST_WAIT if stop is None else _LOOK_SECONDS))
        except queue.Empty:
            if time.monotonic() >= end:
                raise TimeIsUp from None
