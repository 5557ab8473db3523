"""A home in which the same command ends badly, again and again, each time at another place."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.conftest import Clew
from tests.torture.strace import Point, points

ANSWER = "the whole answer"


class World(Clew):
    """A home that can be put back to how it was."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.env["CLEW_MODEL"] = self.recording(("hi", ANSWER))
        self.path = self.session_file("s")

    def keep(self) -> None:
        if self.home.exists():
            shutil.copytree(self.home, self.home.with_name("kept"))

    def again(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        kept = self.home.with_name("kept")
        if kept.exists():
            shutil.copytree(kept, self.home)

    def copy(self, folder: Path) -> "World":
        """A second world that begins as this one does."""
        other = World(folder)
        if self.home.exists():
            shutil.copytree(self.home, other.home)
        other.keep()
        return other

    def stored_run(self, run: str) -> Any:
        """The one line of a run, None if there is none."""
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        found = [one for one in map(json.loads, lines) if one.get("run_id") == run]
        assert len(found) < 2, f"{run} is doubled"
        return found[0] if found else None


Judge = Callable[[World, Point, str], str | None]
"""Says what is wrong after a fault at a point."""


def points_of(world: World, *arguments: str) -> list[Point]:
    """Return the points of a command, and have the world as it was before it."""
    world.keep()
    points(world, *arguments)  # what Python compiles, it compiles now
    world.again()
    found = points(world, *arguments)
    world.again()
    return found


_CHANGE = re.compile(r"p?write|rename|unlink|link|mkdir|rmdir|f?truncate|f?chmod|fallocate|symlink")


def that_change(found: list[Point]) -> list[Point]:
    """Return the calls that change what is on the disk: to be killed in front of another one is to
    be killed in front of the next of these."""
    return [point for point in found if _CHANGE.match(point.name) or "O_CREAT" in point.arguments]


def judged(world: World, faults: list[tuple[Point, str]], judge: Judge) -> list[str]:
    """Judge all faults, two at a time, each in a world of its own; return what went wrong."""
    folder = world.cwd.parent.parent
    worlds = [world, world.copy(folder / "second")]

    def each(number: int) -> list[str]:
        wrong = []
        for point, fault in faults[number :: len(worlds)]:
            worlds[number].again()
            found = judge(worlds[number], point, fault)
            wrong += [f"{fault} at {point}: {found}"] if found else []
        return wrong

    with ThreadPoolExecutor(len(worlds)) as pool:
        return [one for wrong in pool.map(each, range(len(worlds))) for one in wrong]
