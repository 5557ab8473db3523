"""The one place that prints: results to stdout, everything else to stderr."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

from clew.core.errors import ClewError, StoreError
from clew.core.lines import Line, encode
from clew.core.text import redact, showable

if TYPE_CHECKING:
    from .status import StatusLine

_MOST_LINES = 200
_failures: list[StoreError] = []
_status: "list[StatusLine]" = []
_asking = threading.RLock()
_held: list[list[str]] = []
"""What waits for an answer to the open question, where one is open."""


def result(text: str) -> None:
    """Write to stdout. What fails is told by `flush`, at the end: a run is paid for and goes on."""
    _write(sys.stdout, text)


def keep_stdout() -> None:
    """Have results only on stdout: what a tool's library or child writes there goes to stderr."""
    if sys.stdout.fileno() != 1:
        return  # done before
    ours = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = open(ours, "w", encoding="utf-8", errors="replace")  # noqa: SIM115


def line(stored: Line) -> None:
    """Write a line exactly as it is stored."""
    result(encode(stored).decode("ascii"))


def record(value: Mapping[str, Any]) -> None:
    """Write one object of JSON on one line."""
    result(json.dumps(value, ensure_ascii=True) + "\n")


def pretty(value: Any) -> None:
    """Write JSON for people."""
    result(shown(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


def answer(text: str) -> None:
    """Write text so that it ends with exactly one newline."""
    result(shown(text.rstrip("\n")) + "\n")


def shown(text: str) -> str:
    """Return text as it may go to stdout: a terminal gets no control characters."""
    return showable(text) if sys.stdout.isatty() else text


def make_way_for(status: "StatusLine") -> None:
    """Have a status line out of the way of whatever is written."""
    _status[:] = [status]


def _line_begins() -> None:
    """Tell the status line that somebody typed a newline."""
    for status in _status:
        status.line_begins()


def escapes(choice: str) -> bool:
    """Tell whether stderr takes escape codes: see `--color`, `NO_COLOR` and `TERM`."""
    if choice == "auto":
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return sys.stderr.isatty() and not plain
    return choice == "always"


def note(text: str, color: str = "never") -> None:
    """Tell people something, on stderr, dimmed where colour is wanted."""
    _tell(_colored(f"clew: {showable(redact(text))}", color) + "\n")


def ask(question: str) -> None:
    """Put a question to the person at the terminal: what is told waits until it is answered."""
    with _asking:
        _held[:] = [[]]
        _write(sys.stderr, showable(redact(question)))


def end_question(*, answered: bool = False) -> None:
    """Tell what waited while a question was open, if one is; `answered`: a line was typed."""
    with _asking:
        if not _held:
            return
        [waited] = _held
        _held.clear()
        if answered:
            _line_begins()
        else:
            _write(sys.stderr, "\n")  # Ctrl-C, or Ctrl-D: what comes next begins a line
        for text in waited:
            _write(sys.stderr, text)


def hint(text: str) -> None:
    """Tell people what to do next."""
    _tell(f"  hint: {showable(redact(text))}\n")


def quote(text: str) -> None:
    """Show people a text that something is about, line by line."""
    lines = text.splitlines() or [""]
    left = len(lines) - _MOST_LINES
    more = [f"({left} more lines)"] if left > 0 else []
    quoted = (f"  | {line}".rstrip() for line in (*lines[:_MOST_LINES], *more))
    _tell("".join(f"{showable(redact(line))}\n" for line in quoted))


def complain(error: ClewError) -> None:
    """Tell people what went wrong, in one line, and what to do."""
    note(" ".join(error.message.split()))
    if error.hint:
        hint(error.hint)


class Unread:
    """What a command that looks at many sessions could not read: it is told, and the rest done."""

    def __init__(self) -> None:
        self.exit_code = 0

    @contextmanager
    def told(self) -> Iterator[None]:
        """Go on after a StoreError in the block; the first one is how the command ends."""
        try:
            yield
        except StoreError as error:
            complain(error)
            self.exit_code = self.exit_code or error.exit_code


def flush() -> None:
    """Raise StoreError if stdout could not take everything. Who no longer reads is no error."""
    for failure in _failures:
        raise failure


def _tell(text: str) -> None:
    """Write to stderr, but not into the line in which somebody types an answer."""
    with _asking:
        if _held:
            _held[0].append(text)
        else:
            _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    try:
        with _status[0].aside(stream, text) if _status else nullcontext():
            stream.write(text)
            stream.flush()
    except BrokenPipeError:
        _close(stream)
    except OSError as error:
        _close(stream)
        if stream is sys.stdout:
            _failures.append(StoreError(f"cannot write to stdout: {error.strerror}"))


def _close(stream: TextIO) -> None:
    """Send what else is written to nowhere, also what Python still holds back."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _colored(text: str, choice: str) -> str:
    """Return `text` dimmed, where colour is wanted: see `--color` and `NO_COLOR`."""
    return f"\033[2m{text}\033[0m" if escapes(choice) else text
