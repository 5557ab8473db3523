"""A run that stands still in the middle of its answer, because nobody reads what it prints."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import Clew

WORDS = 60_000  # more than any pipe holds
ANSWER = "word " * WORDS


@contextmanager
def stuck(clew: Clew, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start `clew ARGUMENTS flood` and give the process, which has answered the first words.

    Reading its stdout lets it finish; at the end it is killed if it still stands there.
    """
    model = clew.recording(("flood", ANSWER), name="flood.jsonl")
    process = clew.start(*arguments, "--stream", "-m", model, "flood")
    assert process.stdout is not None
    try:
        assert process.stdout.read(1) == b"w"
        yield process
    finally:
        process.kill()
        process.communicate()
