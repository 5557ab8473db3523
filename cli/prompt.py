"""What is said to the model: words, standard input, or both."""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from clew.core.errors import UsageError

from .caller import CALLER

_GRACE_SECONDS = 5.0
_PIECE = 1 << 16


def read_prompt(
    words: tuple[str, ...],
    *,
    may_read: bool,
    resuming: bool,
    stdin_is_file: bool,
    note: Callable[[str], None],
) -> str:
    """Return the prompt: the words, and what stands on standard input, a blank line between.

    Raises UsageError if a pipe gives nothing, or if standard input is asked for and forbidden.
    """
    asked = "-" in words
    text = " ".join(word for word in words if word != "-")
    if asked and (stdin_is_file or not may_read):
        taken = "-f - takes it" if stdin_is_file else "--no-stdin forbids it"
        raise UsageError(f"- means standard input as the prompt, but {taken}")
    if asked:
        return _joined(text, read_stdin())
    if stdin_is_file or not may_read or resuming:
        return text
    return _joined(text, _from_beside(bool(text), note))


def read_stdin() -> bytes:
    """Return standard input to its end."""
    try:
        return b"".join(_pieces())
    except OSError as error:
        raise UsageError(f"cannot read standard input: {error.strerror}") from None


def _from_beside(has_words: bool, note: Callable[[str], None]) -> bytes:
    """Return what standard input holds, if it is meant for us."""
    mode = os.fstat(0).st_mode
    if stat.S_ISREG(mode):
        if not has_words:
            return read_stdin()
        if os.fstat(0).st_size:
            note("standard input is a file and was left alone; - reads it")
        return b""
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        if has_words and not select.select([0], [], [], _GRACE_SECONDS)[0]:
            raise UsageError(
                f"standard input is a pipe that gave nothing for {_GRACE_SECONDS:g} s",
                hint="--no-stdin leaves it alone; - waits for it",
            )
        return read_stdin()
    if not has_words and os.isatty(0):
        note("type the prompt; Ctrl-D on a new line ends it")
        return read_stdin()
    return b""


def _pieces() -> Iterator[bytes]:
    """Yield what standard input holds, to its end; from a terminal, as it comes."""
    stdin: BinaryIO = sys.stdin.buffer
    while CALLER.waits_to_read(0):
        CALLER.wait_to_read(0)
        piece = os.read(0, _PIECE)
        if not piece:
            return
        yield piece
    yield stdin.read()


def _joined(text: str, raw: bytes) -> str:
    """Return words and piped text; like the shell, it takes the last newline for an end."""
    piped = raw.decode("utf-8", "replace").removesuffix("\n")
    if not text:
        return piped
    return f"{text}\n\n{piped}" if piped.strip() else text
