"""What Ctrl-C, kill and a closed terminal do: stop the run, store it, die of that signal.

A second signal does not wait. Signals that the parent made ours to ignore (nohup, a job in the
background) stay so.
"""

import _signal as signal  # type: ignore[import-not-found]  # `signal` makes enums
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from clew.core.errors import Cancelled

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns signals into `Cancelled`, except while a line is written."""

    def __init__(self) -> None:
        self._shields = 0
        self._pending: int | None = None

    def install(self) -> None:
        """Handle the signals from now on."""
        for signum in _SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._handle)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        for known in _SIGNALS:
            if signal.getsignal(known) == self._handle:
                signal.signal(known, signal.SIG_DFL)
        if self._shields:
            self._pending = signum
        else:
            raise Cancelled(signum)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Hold a signal back until the end of the block."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._pending is not None and not self._shields:
            signum, self._pending = self._pending, None
            raise Cancelled(signum)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal end the process at once: for work in C, which no handler interrupts."""
        ours = [signum for signum in _SIGNALS if signal.getsignal(signum) == self._handle]
        for signum in ours:
            signal.signal(signum, signal.SIG_DFL)
        try:
            yield
        finally:
            for signum in ours:
                signal.signal(signum, self._handle)

    def die(self, signum: int) -> NoReturn:
        """End this process by that signal, as its parent expects."""
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        os._exit(128 + signum)


INTERRUPTS = Interrupts()
