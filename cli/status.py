"""The line at the end of a terminal that says what goes on while nothing comes.

It is drawn over itself, and wiped before anything else is written: by `output`, which tells it. It
is drawn only where a line begins, so that it never touches an answer or a question.
"""

import os
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

from clew.core.text import redact, showable

from .at_work import Part
from .caller import CALLER

_TICK = 0.1
_PATIENCE = 0.4
_COLUMNS = 80
_FRAMES = "|/-\\"
_BESIDE = " · "
_WIPE = "\r\033[K"


class StatusLine:
    """What goes on, and for how long; one line, however narrow the terminal is."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._parts: Sequence[Part] = ()
        self._quiet_since = time.monotonic()
        self._drawn = False
        self._within_line = False
        self._frame = 0

    def show(self, label: str, since: float | None = None) -> None:
        """Say from now on that this goes on, `since` then (a time.monotonic(); None: now)."""
        self.show_all([Part(label, time.monotonic() if since is None else since)])

    def show_all(self, parts: Sequence[Part]) -> None:
        """Say from now on that all this goes on, side by side."""
        with self._lock:
            self._parts = [
                replace(part, label=" ".join(showable(redact(part.label)).split()))
                for part in parts
            ]
            if not self._drawn:
                self._quiet_since = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._go, daemon=True)
            self._thread.start()

    def hide(self) -> None:
        """Say nothing."""
        with self._lock:
            self._parts = ()
            self._wipe()

    def end(self) -> None:
        """Say nothing any more."""
        self._ended.set()
        self.hide()

    @contextmanager
    def aside(self, stream: TextIO, text: str) -> Iterator[None]:
        """Be out of the way while this text is written."""
        with self._lock:
            self._wipe()
            yield
            self._quiet_since = time.monotonic()
            if text and stream.isatty():
                self._within_line = not text.endswith("\n")

    def line_begins(self) -> None:
        """Know that a line begins, by what somebody typed."""
        with self._lock:
            self._within_line = False

    def _go(self) -> None:
        while not self._ended.wait(_TICK):
            with self._lock:
                now = time.monotonic()
                if not self._parts or self._within_line or self._ended.is_set():
                    continue
                if (self._drawn or now - self._quiet_since >= _PATIENCE) and _in_front():
                    self._draw(now)

    def _draw(self, now: float) -> None:
        self._frame = (self._frame + 1) % len(_FRAMES)
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
            room = columns - len("| ") - 1  # a full line would wrap
            shown = f"{_FRAMES[self._frame]} {side_by_side(self._parts, now, room)}"
            self._write(f"{_WIPE}\033[2m{shown}\033[0m")
            self._drawn = True
        except OSError:
            self._ended.set()

    def _wipe(self) -> None:
        if self._drawn:
            self._drawn = False
            try:
                if _in_front():
                    self._write(_WIPE)
            except OSError:
                self._ended.set()

    @staticmethod
    def _write(text: str) -> None:
        os.write(sys.stderr.fileno(), text.encode())


def _in_front() -> bool:
    """Tell whether this call has the terminal: in the background it must not draw on it."""
    return CALLER.is_in_front(sys.stderr.fileno())


def side_by_side(parts: Sequence[Part], now: float, columns: int) -> str:
    """Return what goes on, with its times, in so many columns: what has ended gives way first."""
    if _needed(parts, now) > columns:
        parts = [part for part in parts if part.until is None] or parts
    most = columns
    while _needed(parts, now, most) > columns and most > 1:
        most -= 1
    while _needed(parts, now, most) > columns and len(parts) > 1:
        parts = parts[:-1]
    return _BESIDE.join(f"{fitted(part.label, most)}{part.seconds(now)}" for part in parts)


def _needed(parts: Sequence[Part], now: float, most: int | None = None) -> int:
    widths = (sum(map(_width, part.label)) for part in parts)
    labels = sum(width if most is None else min(width, most) for width in widths)
    times = sum(len(part.seconds(now)) for part in parts)
    return labels + times + len(_BESIDE) * (len(parts) - 1)


def fitted(text: str, columns: int) -> str:
    """Return the text, cut so that a terminal needs no more than so many columns for it."""
    if sum(map(_width, text)) <= columns:
        return text
    kept, used = "", 1
    for character in text:
        used += _width(character)
        if used > columns:
            break
        kept += character
    return f"{kept}…"


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
