"""What a call of the installed command costs."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CLEW, Clew

# In a small process of its own: a child begins with the peak of the process that started it.
MEASURE = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, used.ru_maxrss]), file=sys.stderr)
"""


@dataclass(frozen=True)
class Spent:
    """Seconds, and the most memory at any time, in bytes."""

    seconds: float
    memory: int


def spent(clew: Clew, *arguments: str, out: Path = Path("/dev/null")) -> Spent:
    """Call it, its stdout into a file; it has to succeed."""
    with out.open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, CLEW, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=clew.env,
            cwd=clew.cwd,
            check=True,
        )
    code, seconds, peak = json.loads(done.stderr)
    assert code == 0, arguments
    return Spent(seconds, peak * (1 if sys.platform == "darwin" else 1024))
