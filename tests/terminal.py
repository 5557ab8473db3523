"""A terminal for tests: a pseudo-terminal that a script has to itself."""

import os
import pty
import subprocess

from tests.conftest import Clew


def in_terminal(clew: Clew, script: str) -> tuple[int, bytes]:
    """Run a bash script in a new terminal; return its exit code and the bytes the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f'exec <>"$0" >&0 2>&0; {script}', os.ttyname(theirs)],
        env=clew.env,
        cwd=clew.cwd,
        start_new_session=True,
    )
    shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return process.wait(timeout=60), shown


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # Linux: the last one at the other end is gone
        return b""
