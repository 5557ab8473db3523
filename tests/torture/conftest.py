"""What the long suites share: the table of figures at the end, disks of their own, and commands
that end badly."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew

Figure = Callable[[str, object], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Call it with a name and a value: the table at the end of the run has a row for it."""

    def tell(name: str, value: object) -> None:
        request.node.user_properties.append(("figure", [name, str(value)]))

    return tell


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table. The reports carry the figures, also from another process of xdist."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if rows:
        width = max(len(name) for name, _ in rows)
        terminalreporter.section("figures")
        for name, value in sorted(map(tuple, rows)):
            terminalreporter.write_line(f"{name:{width}}  {value}")


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount a file system on a folder that is made for it; skip the test where that is refused."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", *arguments, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small disk in memory; skip the test where that is refused."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size},mode=0700", "torture") as disk:
        yield disk


@pytest.fixture
def small_disk(clew: Clew) -> Iterator[Path]:
    """A disk of 2 MB, on which the home is."""
    with tmpfs(clew.cwd.parent / "disk", "2m") as disk:
        clew.home = disk / "home"
        clew.env["CLEW_HOME"] = str(clew.home)
        yield disk


@contextmanager
def in_memory(clew: Clew) -> Iterator[Path]:
    """Have a folder in memory: a tmpfs of one's own for root, else one in /dev/shm."""
    if os.geteuid() == 0:
        with tmpfs(clew.cwd.parent / "memory", "2g") as disk:
            yield disk
        return
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        pytest.skip("there is no folder in memory: not root, and no /dev/shm")
    folder = shared / f"clew-torture-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
