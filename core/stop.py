"""Telling a run in another thread that it is to stop: signals reach the main thread only."""

import threading

from .errors import Cancelled, LimitReached


class Stop:
    """What a run looks at while it waits; one that is `under` another stops with it."""

    def __init__(self, under: "Stop | None" = None) -> None:
        self._under = under
        self._told = threading.Event()
        self._why: Cancelled | LimitReached = Cancelled()

    def tell(self, why: BaseException) -> None:
        """Have every run stop that looks at this, or at one under it."""
        if isinstance(why, Cancelled | LimitReached):
            self._why = why
        self._told.set()

    def check(self) -> None:
        """Raise Cancelled if the run is to stop, or the LimitReached that is why."""
        if self._told.is_set():
            raise self._why
        if self._under is not None:
            self._under.check()
