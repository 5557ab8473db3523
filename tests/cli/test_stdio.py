"""What stands behind 0, 1 and 2: pipes that do not block, and a terminal to type on."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from tests.conftest import Clew, eventually
from tests.stuck import ANSWER


def held_by(pipe: int) -> int:
    """How many bytes a pipe holds."""
    raw: bytes = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", raw)[0])


def test_a_pipe_that_does_not_block_gets_everything_however_slow_its_reader_is(clew: Clew) -> None:
    model = clew.recording(("flood", ANSWER))
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    process = clew.start("run", "-q", "-m", model, "flood", stdout=theirs, stderr=None)
    eventually(lambda: not select.select([], [theirs], [], 0)[1] or process.poll() is not None)
    os.close(theirs)
    with open(ours, encoding="utf-8") as reader:
        out = reader.read()
    assert (process.wait(200), out) == (0, f"{ANSWER}\n")


def test_a_pipe_that_does_not_block_is_read_to_its_end_however_slow_its_writer_is(
    clew: Clew,
) -> None:
    model = clew.recording(("one\ntwo", "both"), ("one", "half"))
    theirs, ours = os.pipe()
    os.set_blocking(theirs, False)
    process = clew.start("run", "-q", "-m", model, stdin=theirs)
    os.write(ours, b"one\n")
    eventually(lambda: held_by(theirs) == 0)
    os.write(ours, b"two\n")
    os.close(ours)
    os.close(theirs)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out, err) == (0, b"both\n", b"")


def test_a_prompt_that_is_typed_ends_with_ctrl_d(clew: Clew) -> None:
    model = clew.recording(("one\ntwo", "both"))
    ours, theirs = pty.openpty()
    process = clew.start("run", "-m", model, stdin=theirs, stderr=subprocess.PIPE)
    os.write(ours, b"one\ntwo\n\x04")
    out, err = process.communicate(timeout=200)
    os.close(theirs)
    os.close(ours)
    assert (process.returncode, out) == (0, b"both\n")
    assert b"type the prompt; Ctrl-D on a new line ends it" in err
