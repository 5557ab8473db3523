"""What a workflow costs beside what its steps do: `make bench-clew`.

All is measured in this process: what is counted is the work of a workflow, not the start of a
command. Where the disk is waited for, that is measured and taken off: it is the disk's.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

from clew.core.events import Event, Listener
from clew.core.invocation import ignore
from clew.core.lines import RunLine
from clew.core.steps import Command, Loop, Parallel, Step, StepInput
from clew.core.workflow import Workflow
from clew.stores import JsonlStore

STEPS = 100
WARM = 5
AT_ONCE = 16
SECONDS = 1.0
ITERATIONS = 10_000
EARLY = 1_000


def commands(folder: Path) -> float:
    """Return the time of a command that is a step, in units of the bare command.

    The two take turns, as steps of one workflow, so that a busy moment of the machine meets both;
    the medians count.
    """
    ended, bare = [], []

    def alone(_given: StepInput) -> None:
        began = time.perf_counter()
        subprocess.run(["true"], check=True)
        bare.append(time.perf_counter() - began)

    with timed_fsync() as waited:

        def note(event: Event) -> None:
            if event["event"] == "StepCompleted":
                ended.append(time.perf_counter() - sum(waited))

        steps = [Step(alone), Step(Command(["true"]))] * (WARM + STEPS)
        seconds_of(Workflow(name="flow", steps=steps), folder, "commands", note)
    taken = [end - begin for begin, end in zip(ended[::2], ended[1::2], strict=True)]
    return median(taken[WARM:]) / median(bare[WARM:])


def at_once(folder: Path) -> float:
    """Return the time of steps at once, in units of one of them."""
    steps = [Step(Command(["sleep", str(SECONDS)])) for _ in range(AT_ONCE)]
    alone = seconds_of(Workflow(name="flow", steps=steps[:1]), folder, "one")
    return seconds_of(Workflow(name="flow", steps=[Parallel(steps)]), folder, "many") / alone


def iterations(folder: Path) -> tuple[float, int, float]:
    """Return how much a long loop has grown since it was short, in MiB, the bytes of its line, and
    the milliseconds that an iteration took."""
    sizes: list[int] = []

    def step(given: StepInput) -> str:
        given.session_state["n"] = n = given.session_state.get("n", 0) + 1
        if n in (EARLY, ITERATIONS):
            sizes.append(resident())
        return str(n)

    loop = Loop([Step(step)], max_iterations=ITERATIONS)
    with timed_fsync() as waited:
        took = seconds_of(Workflow(name="flow", steps=[loop]), folder, "loop") - sum(waited)
    line = JsonlStore(str(folder)).session("loop", "default").last()
    early, late = sizes
    return (late - early) / 2**20, len(json.dumps(line)), took / ITERATIONS * 1000


def resident() -> int:
    """Return how much memory this process has, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def seconds_of(
    workflow: Workflow, folder: Path, session: str, listener: Listener = ignore
) -> float:
    """Run a workflow in a session of its own, and return how long that took."""
    store = JsonlStore(str(folder))
    began = time.perf_counter()
    run = workflow.run("hi", session_id=session, store=store, on_event=listener)
    took = time.perf_counter() - began
    line: RunLine = run.raise_for_status().line
    assert line["status"] == "COMPLETED"
    return took


@contextmanager
def timed_fsync() -> Iterator[list[float]]:
    """Note how long each fsync takes."""
    seconds: list[float] = []
    fsync: Callable[[int], None] = os.fsync

    def timed(fd: int) -> None:
        began = time.perf_counter()
        fsync(fd)
        seconds.append(time.perf_counter() - began)

    with patch.object(os, "fsync", timed):
        yield seconds


def main() -> None:
    """Measure, and print the third table of docs/performance.md."""
    with tempfile.TemporaryDirectory() as folder:
        ratio = commands(Path(folder))
        together = at_once(Path(folder))
        grown, size, each = iterations(Path(folder))
    print("| a workflow | measured | at most |\n|---|---:|---:|")
    print(f"| a command as a step, beside the bare command ({STEPS} of each) | {ratio:.2f} | 2.5 |")
    print(f"| {AT_ONCE} steps of a second at once, beside one | {together:.2f} | 1.3 |")
    print(
        f"| memory that a loop gains from iteration {EARLY:,} to {ITERATIONS:,}, MiB | "
        f"{grown:.1f} | 5 |"
    )
    print(f"| bytes of the line of that loop's run | {size:,} | 200,000 |")
    print(f"\n(an iteration {each:.2f} ms, without the disk)")


if __name__ == "__main__":
    main()
