"""What it saves that the embedded model stays loaded: `python -m tests.bench_kept`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.conftest import CLEW, MODELS

ROUNDS = 5
ASK = [
    str(CLEW),
    "run",
    "-q",
    "--no-store",
    "--option",
    "temperature=0",
    "Name the capital of France.",
]
ALONE, FIRST, SECOND = "loaded by the call itself", "the first that keeps it", "the next one"
STOP = "from clew.core import kept_models as k, resident\nk.stop()\nwhile k.kept(): pass"


def seconds(env: dict[str, str]) -> float:
    """Return how long the whole process takes."""
    began = time.perf_counter()
    subprocess.run(ASK, env=env, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "clew", "models")
        models.mkdir(parents=True)
        (models / "smollm2.gguf").symlink_to(Path(MODELS, "smollm2.gguf").resolve())
        runtime = Path(folder, "run")  # `clew` in it is nobody else's: not where the data are
        runtime.mkdir(mode=0o700)
        env = {"PATH": os.environ["PATH"], "HOME": folder}
        env |= {"XDG_DATA_HOME": folder, "XDG_RUNTIME_DIR": str(runtime), "CLEW_WARM": "1"}
        times: dict[str, list[float]] = {ALONE: [], FIRST: [], SECOND: []}
        for number in range(ROUNDS + 1):
            for name, took in (
                (ALONE, seconds(env | {"CLEW_WARM": "0"})),
                (FIRST, seconds(env)),
                (SECOND, seconds(env)),
            ):
                if number:  # the first round only warms the caches
                    times[name].append(took)
                    print(f"{name}: {took:.2f}", file=sys.stderr)
            subprocess.run([CLEW.with_name("python"), "-c", STOP], env=env, check=True)
    base = median(times[ALONE])
    print("| `clew run -m local/smollm2` | median, s | times the first row |\n|---|---:|---:|")
    for name, measured in times.items():
        print(f"| {name} | {median(measured):.2f} | {median(measured) / base:.2f} |")


if __name__ == "__main__":
    main()
