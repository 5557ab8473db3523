"""Work that is given up when its time is over."""

import threading
from collections.abc import Callable

import pytest

from clew.core.deadline import TimeIsUp, within

Give = Callable[[str], None]
PLENTY = 100.0


def test_what_the_work_gives_and_returns_comes_in_order_and_in_this_thread() -> None:
    came: list[tuple[str, bool]] = []

    def work(give: Give) -> str:
        give("a")
        give("b")
        return "done"

    def take(piece: str) -> None:
        came.append((piece, threading.current_thread() is threading.main_thread()))

    assert within(PLENTY, work, take) == "done"
    assert came == [("a", True), ("b", True)]


def test_silent_work_is_given_up_when_its_time_is_over() -> None:
    never = threading.Event()
    with pytest.raises(TimeIsUp):
        within(0.05, lambda _give: never.wait(PLENTY), print)
    never.set()


def test_work_that_nobody_waits_for_stops_at_its_next_piece() -> None:
    go, stopped = threading.Event(), threading.Event()

    def work(give: Give) -> None:
        go.wait(PLENTY)
        try:
            give("too late")
        finally:
            stopped.set()

    taken: list[str] = []
    with pytest.raises(TimeIsUp):
        within(0.05, work, taken.append)
    go.set()
    assert stopped.wait(PLENTY)
    assert not taken


def test_what_the_work_raises_passes_through() -> None:
    def work(give: Give) -> None:
        give("first")
        raise LookupError("gone")

    taken: list[str] = []
    with pytest.raises(LookupError, match="gone"):
        within(PLENTY, work, taken.append)
    assert taken == ["first"]


def test_what_the_listener_raises_passes_through() -> None:
    def listen(_piece: str) -> None:
        raise LookupError("full")

    with pytest.raises(LookupError, match="full"):
        within(PLENTY, lambda give: give("piece"), listen)


def test_work_after_work_is_done_by_the_same_thread() -> None:
    doers = [within(None, lambda _give: threading.current_thread(), print) for _ in range(3)]
    assert len(set(doers)) == 1


def test_work_that_was_given_up_and_goes_on_has_its_thread_to_itself() -> None:
    go, begun = threading.Event(), threading.Event()
    held: list[threading.Thread] = []

    def work(_give: Give) -> None:
        held.append(threading.current_thread())
        begun.set()
        go.wait(PLENTY)

    with pytest.raises(TimeIsUp):
        within(0.05, work, print)
    assert begun.wait(PLENTY)
    assert within(None, lambda _give: threading.current_thread(), print) not in held
    go.set()
