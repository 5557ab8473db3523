"""Power cuts: what is on the disk at a moment is all that is left of it.

An image of an ext4 disk is mounted, writers write to it, and the image's file is copied while they
stand still in the middle of their work: what the system had not yet given to the disk is missing in
the copy, as after a cut. Mounting the copy replays its journal.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from tests.conftest import Clew, eventually
from tests.torture.checker import check
from tests.torture.conftest import Figure, mounted
from tests.torture.without import without

ROOT = Path(__file__).resolve().parents[2]
CUTS = 12
BETWEEN = 220
LINES_A_SESSION = 100
PLENTY = 6000  # lines, after which the writer has no hurry: 48 MB hold some 20,000
FAST = f"""
import sys
import time
from clew.stores import JsonlStore
from tests.stores.made import add_run
store = JsonlStore(sys.argv[1])
for number in range(1_000_000):
    session = f"fast{{number // {LINES_A_SESSION}}}"
    run = f"{{session}}/{{number}}"
    add_run(store.session(session, "default"), run, patch={{"n": number}})
    print(run, flush=True)
    if number > {PLENTY}:
        time.sleep(0.02)
"""
COMMAND = """
number=0
while clew run -q -s "slow$((number / 5))" --run-id "slow$((number / 5))/$number" hi > /dev/null; do
    echo "slow$((number / 5))/$number"
    number=$((number + 1))
done
"""


class Machine:
    """A disk with two writers, and what they have acknowledged."""

    def __init__(self, clew: Clew) -> None:
        self.clew = clew
        self.folder = clew.cwd.parent
        self.image = self.folder / "disk.img"
        self.out = self.folder / "acknowledged"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Mount the disk and let the writers write, until they are killed."""
        make_disk(self.image)
        with mounted(self.folder / "disk", "-o", "loop", str(self.image)) as disk:
            writers = [
                self.start(sys.executable, "-c", FAST, str(disk / "home")),
                self.start("bash", "-c", COMMAND),
            ]
            self.groups = [writer.pid for writer in writers]
            try:
                yield
            finally:
                for writer in writers:
                    os.killpg(writer.pid, signal.SIGKILL)
                    writer.communicate()

    def start(self, *command: str) -> "Popen[bytes]":
        home = str(self.folder / "disk" / "home")
        path = os.pathsep.join(filter(None, [self.clew.env.get("PYTHONPATH"), str(ROOT)]))
        with self.out.open("ab") as out:
            return Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                env=self.clew.env | {"CLEW_HOME": home, "PYTHONPATH": path},
                start_new_session=True,
            )

    def acknowledged(self) -> list[str]:
        return self.out.read_text().split("\n")[:-1]

    def work_on(self, before: Sequence[str]) -> None:
        """Wait until enough is acknowledged beyond what was, of both writers."""

        def enough() -> bool:
            new = self.acknowledged()[len(before) :]
            return len(new) >= BETWEEN and any(run.startswith("slow") for run in new)

        eventually(enough)

    @contextmanager
    def cut(self) -> Iterator[list[str]]:
        """Give what was acknowledged until now; the clew of this world has the disk as it is now.

        The writers stand still meanwhile, and then go on with their own disk.
        """
        for group in self.groups:
            os.killpg(group, signal.SIGSTOP)
        eventually(lambda: all(stands(pid) for group in self.groups for pid in members(group)))
        copy = self.image.with_suffix(".copy")
        shutil.copyfile(self.image, copy)
        with mounted(self.folder / "copy", "-o", "loop", str(copy)) as disk:
            self.clew.home = disk / "home"
            self.clew.env["CLEW_HOME"] = str(self.clew.home)
            yield self.acknowledged()
        for group in self.groups:
            os.killpg(group, signal.SIGCONT)


def make_disk(image: Path) -> None:
    """Make an empty ext4 disk in a file."""
    if not shutil.which("mkfs.ext4"):
        pytest.skip("there is no mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-N", "4096", str(image)], check=True)


def members(group: int) -> Iterator[str]:
    """The processes of a group."""
    for entry in os.listdir("/proc"):
        fields = status(entry) if entry.isdigit() else []
        if fields and fields[2] == str(group):
            yield entry


def stands(pid: str) -> bool:
    """Tell whether a process is stopped, or gone: no call of it is under way."""
    return status(pid)[:1] in ([], ["T"], ["Z"])


def status(pid: str) -> list[str]:
    """State, parent, group … of a process; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def by_session(runs: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in runs:
        found.setdefault(run.partition("/")[0], set()).add(run)
    return found


def lost(machine: Machine, runs: Sequence[str], *, torn: bool) -> list[str]:
    """What the checker says of all sessions of the copy."""
    return [
        wrong
        for session, own in by_session(runs).items()
        for wrong in check(machine.clew.session_file(session), own, torn=torn)
    ]


def test_a_power_cut_loses_no_acknowledged_line(clew: Clew, model: str, figure: Figure) -> None:
    clew.env["CLEW_MODEL"] = model
    machine = Machine(clew)
    runs: list[str] = []
    with machine.running():
        for _ in range(CUTS):
            machine.work_on(runs)
            with machine.cut() as runs:
                assert lost(machine, runs, torn=True) == []
                for session in list(by_session(runs))[-3:]:
                    assert clew("run", "-q", "-s", session, "hi").out == "hello\n"
                assert lost(machine, runs, torn=False) == []
    by_command = sum(run.startswith("slow") for run in runs)
    assert len(runs) >= 2500
    figure(
        "power cuts", f"{CUTS}, 0 of {len(runs)} acknowledged lines lost ({by_command} by commands)"
    )


def test_without_fsync_a_power_cut_loses_lines(clew: Clew, model: str, figure: Figure) -> None:
    clew.env["CLEW_MODEL"] = model
    machine = Machine(without(clew, "fsync"))
    with machine.running():
        machine.work_on([])
        with machine.cut() as runs:
            wrong = lost(machine, runs, torn=True)
    gone = sum("is lost" in one for one in wrong)
    assert gone > 0
    figure("power cut with fsync off", f"{gone} of {len(runs)} acknowledged lines lost, as feared")
