"""How long commands take, beside `python -c pass` on the same machine: `make bench`.

Each command is a process of its own. The rounds are interleaved, so that a busy moment of the
machine meets all of them; a figure is the median of its rounds.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import cast

from clew.core.clock import new_id, now
from clew.core.flight import draft_of
from clew.core.lines import RunLine, encode
from clew.core.session import Tip, seal, tip_after

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
        }
        first = json.loads(self.run([CLEW, "run", "-q", "--json", "-s", "one", "hi"]))
        self._write("default", "short", cast(RunLine, first), 10)
        self._write("default", "long", cast(RunLine, first), LONG)
        for number in range(MANY):
            self._write("many", f"s{number}", cast(RunLine, first), 1)

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

    def _write(self, user: str, session: str, run: RunLine, count: int) -> None:
        folder = self._home / "users" / user
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{session}.jsonl").write_bytes(b"".join(runs(user, session, run, count)))


def runs(user: str, session: str, run: RunLine, count: int) -> Iterator[bytes]:
    """Yield the lines of a session in which `run` was made `count` times."""
    tip = Tip()
    for _ in range(count):
        again = run.copy()
        again["run_id"] = new_id()
        line = seal(draft_of(again), tip, session_id=session, user_id=user, created_at=now())
        tip = tip_after(line)
        yield encode(line)


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
