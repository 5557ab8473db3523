"""How long commands take, beside `python -c pass` on the same machine: `make bench-clew`.

Each command is a process of its own. The rounds are interleaved, so that a busy moment of the
machine meets all of them; a figure is the median of its rounds.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.stores_made import long_session, many_sessions

ROUNDS = 15
LONG = 10_000
MANY = 1_000
PYTHON = "python -c pass"
CLEW = Path(sys.executable).with_name("clew")


class World:
    """A home with a short session, a long one, and a user of many sessions."""

    def __init__(self, folder: Path) -> None:
        recording = folder / "recording.jsonl"
        recording.write_text(json.dumps({"input": "hi", "content": "hello there"}) + "\n")
        self._home = folder / "home"
        self._env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "CLEW_HOME": str(self._home),
            "CLEW_MODEL": f"replay:{recording}",
            "CLEW_WARM": "0",
        }
        first = json.loads(self.run([CLEW, "run", "-q", "--json", "-s", "one", "hi"]))
        long_session(self._home, "default", "short", first, 10)
        long_session(self._home, "default", "long", first, LONG)
        many_sessions(self._home, "many", first, MANY)

    def run(self, command: list[str | Path]) -> bytes:
        """Run a command to its end and return what it printed."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=self._env, check=True
        )
        return done.stdout

    def seconds(self, command: list[str | Path]) -> float:
        """Run a command and return how long it took."""
        started = time.perf_counter()
        self.run(command)
        return time.perf_counter() - started


def cases() -> dict[str, list[str | Path]]:
    """What is measured, under the words of the table."""
    go_on = ["continue", "-q", "--history-runs", "10", "-s"]
    return {
        PYTHON: [sys.executable, "-c", "pass"],
        "clew --version": [CLEW, "--version"],
        "clew --help": [CLEW, "--help"],
        "clew history -n 10 (10,000 runs)": [CLEW, "history", "-n", "10", "-s", "long"],
        "clew state get (10,000 runs)": [CLEW, "state", "get", "x", "--default", "", "-s", "long"],
        "clew run (replay)": [CLEW, "run", "-q", "hi"],
        "clew continue --history-runs 10 (10 runs)": [CLEW, *go_on, "short", "hi"],
        "clew continue --history-runs 10 (10,000 runs)": [CLEW, *go_on, "long", "hi"],
        "clew sessions list -n 10 (1,000 sessions)": [
            *(CLEW, "sessions", "list", "-n", "10"),
            *("-u", "many"),
        ],
    }


def main() -> None:
    """Measure, and print the table of docs/performance.md."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in cases()}
        for number in range(ROUNDS + 1):
            for name, command in cases().items():
                took = world.seconds(command)
                if number:  # the first round only warms the caches
                    times[name].append(took)
    base = median(times[PYTHON])
    print("| command | median, ms | times `python -c pass` |\n|---|---:|---:|")
    for name, measured in times.items():
        print(f"| `{name}` | {median(measured) * 1000:.0f} | {median(measured) / base:.1f} |")


if __name__ == "__main__":
    main()
