"""A terminal for tests: a pseudo-terminal that a script has to itself."""

import os
import pty
import select
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
    shown = b""
    ended = False
    while not ended:
        ended = process.poll() is not None
        while select.select([ours], [], [], 0.05)[0]:
            shown += os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    return process.returncode, shown
