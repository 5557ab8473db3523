"""Worlds with a warm process, and comparing what is made in them with what is made without one."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from clew.cli.warm_place import socket_name
from tests.conftest import Clew, eventually

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?")
LASTED = re.compile(r'("(?:duration|time_to_first_token)": ?)[0-9.e-]+')

OF_ITS_OWN = [
    pytest.mark.skipif(sys.platform != "linux", reason="warm processes need Linux"),
    pytest.mark.xdist_group("warm"),
    pytest.mark.cold(reason="they have warm processes of their own"),
]
"""Marks of tests that have warm processes of their own."""


class Warmth:
    """A folder for a warm process, with a short name: the path of a socket has 107 bytes."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clew-", dir="/tmp"))
        self.home = self.folder / "home"
        self.home.mkdir()
        self._world = Clew(self.folder / "world")
        self.join(self._world)

    def join(self, clew: Clew) -> Clew:
        """Have a world use this folder. HOME is read by libraries while they are loaded."""
        clew.env |= {
            "XDG_RUNTIME_DIR": str(self.folder),
            "HOME": str(self.home),
            "CLEW_WARM": "1",
        }
        return clew

    def start(self, *arguments: str) -> dict[str, Any]:
        """Start a warm process, and return what it says of itself."""
        self._world("warm", "start", *arguments)
        return self.status

    @property
    def status(self) -> dict[str, Any]:
        """What the warm process says of itself."""
        found: dict[str, Any] = self._world("warm", "status", "--json").json
        return found

    @property
    def socket(self) -> str:
        """Where the warm process listens, or would; its folder is made."""
        (self.folder / "clew").mkdir(mode=0o700, exist_ok=True)
        return str(self.folder / "clew" / socket_name())

    @contextmanager
    def serves(self, calls: int) -> Iterator[None]:
        """Make sure that so many calls are served in the block, by one process."""
        before = self.status
        assert before["running"]
        yield
        expected = before["pid"], before["served"] + calls
        eventually(lambda: not self.status["under_way"])
        after = self.status
        assert (after["pid"], after["served"]) == expected, after

    def end(self) -> None:
        self._world("warm", "stop", code=None)
        shutil.rmtree(self.folder)


def equal(
    warmth: Warmth,
    folder: Path,
    script: Callable[[Clew], object],
    *,
    calls: int = 1,
    env: dict[str, str] | None = None,
) -> Any:
    """Play a script in a world without and in one with a warm process; what came of it is equal.

    Return what the script returned.
    """
    cold, warm = Clew(folder / "cold"), Clew(folder / "warm")
    cold.env |= {"HOME": str(warmth.home), "CLEW_WARM": "0", **(env or {})}
    warm.env |= env or {}
    expected = script(cold), stored(cold)
    with warmth.serves(calls):
        found = script(warmth.join(warm)), stored(warm)
    assert plain(repr(found), warm) == plain(repr(expected), cold)
    return found[0]


def stored(clew: Clew) -> list[list[str]]:
    """All lines of all sessions, and the modes of their files."""
    files = sorted(clew.home.glob("users/*/*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    return [[oct(file.stat().st_mode), *file.read_text().splitlines()] for file in files]


def plain(text: str, clew: Clew) -> str:
    """A text without what differs from run to run."""
    text = text.replace(str(clew.cwd.parent), "WORLD")
    return LASTED.sub(r"\1N", TIME.sub("TIME", UUID.sub("ID", text)))


def lines(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


def maker(process: "subprocess.Popen[bytes]") -> int:
    """The process that makes a call's run: the call's own, or the copy of a warm one."""
    for info in Path(f"/proc/{process.pid}/fdinfo").glob("*"):
        with suppress(OSError):  # it has just been closed
            found = re.search(r"^Pid:\t(\d+)$", info.read_text(), re.MULTILINE)
            if found and parent(int(found[1])) != process.pid:
                return int(found[1])
    return process.pid


def parent(pid: int) -> int:
    """The process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    """The processes that a process has started, and not yet waited for."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def open_files(pid: int) -> set[str]:
    """What a process has open."""
    return {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
