"""Many processes at once: how long they take, and what is kept of what they asked."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .peers import Peers
from .process import CommandFailed, measured
from .world import World

RUNS, AT_ONCE = 64, 8
WRITERS, EACH = 8, 10


def runs_a_second(peers: Peers, name: str) -> tuple[float, bool]:
    """Return how many one-off runs a second `xargs -P 8` makes of 64, and whether none failed."""
    command = peers.one_off(name, "number {}")
    xargs = ["xargs", "-P", str(AT_ONCE), "-I{}", *map(str, command.words)]
    started = time.perf_counter()
    done = subprocess.run(
        xargs,
        input="\n".join(map(str, range(RUNS))),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=command.env,
        cwd=command.cwd,
        check=False,
    )
    return RUNS / (time.perf_counter() - started), done.returncode == 0


@dataclass(frozen=True)
class Kept:
    """How eight processes that went on with one session ten times each did."""

    seconds: float
    failed: int
    seen: int
    """How many of the 80 prompts the next request had."""


def written_at_once(world: World, peers: Peers, name: str, session: str) -> Kept:
    """Have 8 processes go on with a session 10 times each, and look at what the next one sends."""
    failed: list[str] = []

    def write(writer: int) -> None:
        for number in range(EACH):
            try:
                measured(peers.go_on(name, session, f"prompt-{writer}-{number}"))
            except CommandFailed as error:
                failed.append(str(error))

    started = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    seconds = time.perf_counter() - started
    measured(peers.go_on(name, session, "and now"))
    return Kept(seconds, len(failed), len(world.seen()["prompts"]))
