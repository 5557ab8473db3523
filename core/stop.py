"""Telling a run in another thread that it is to stop: signals reach the main thread only."""

import threading

from .errors import Cancelled


class Stop:
    """What a run looks at while it waits; one that is `under` another stops with it."""

    def __init__(self, under: "Stop | None" = None) -> None:
        self._under = under
        self._told = threading.Event()
        self._signum = 0

    def tell(self, signum: int) -> None:
        """Have every run stop that looks at this, or at one under it."""
        self._signum = signum
        self._told.set()

    def check(self) -> None:
        """Raise Cancelled if the run is to stop."""
        if self._told.is_set():
            raise Cancelled(self._signum)
        if self._under is not None:
            self._under.check()
