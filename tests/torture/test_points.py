"""Every system call of a run that touches the store: killed in front of it, and made to fail."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, LAST, Point, faulty, points, require_strace, sticky
from tests.torture.world import ANSWER, Judge, World, judged, points_of

SAME = ("-q", "-s", "s", "--run-id", "it", "--json", "hi")
RUN = ("run", *SAME)
CONTINUE = ("continue", *SAME)
FULL = ("ENOSPC", "EDQUOT", "EIO", "EFBIG")
ERRORS = {  # what each call may fail with; others: EIO
    "write": (*FULL, "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "openat": ("ENOSPC", "EINTR"),
    "mkdir": ("ENOSPC", "EDQUOT"),
    "rename": ("ENOSPC", "EDQUOT"),
    "flock": ("ENOLCK", "EINTR"),
    "ftruncate": ("EIO", "EINTR"),
}
STICKY = [
    ("write", "ENOSPC"),
    ("write", "EIO"),
    ("fsync", "EIO"),
    ("openat", "EDQUOT"),
    ("ftruncate", "EIO"),
    ("rename", "EDQUOT"),
    ("unlink", "EIO"),
    ("flock", "ENOLCK"),
    ("mkdir", "ENOSPC"),
    ("pread64", "EIO"),
]
PATH = re.compile(r'HOME[^">]*')


def empty(_: World) -> None:
    """No home yet."""


def torn(world: World) -> None:
    """A session of two lines, and a torn third."""
    for _ in range(2):
        world("run", "-q", "-s", "s", "hi")
    with world.path.open("ab") as file:
        file.write(b'{"v":1,"type":"ru')


def dead(world: World) -> None:
    """The same, and a run that died when its answer was there."""
    torn(world)
    _die(world, lambda point: point.name == "ftruncate" and ".jsonl" in point.arguments)
    assert len(list(world.home.rglob("*.part"))) == 1


def stored_dead(world: World) -> None:
    """The same, but the run died when its line was stored."""
    torn(world)
    _die(world, lambda point: point.name == "unlink")
    assert len(list(world.home.rglob("*.part"))) == 1


def whole_dead(world: World) -> None:
    """A run that died when its line was written but for the newline."""
    stored_dead(world)
    world.path.write_bytes(world.path.read_bytes()[:-1])


def _die(world: World, where: Callable[[Point], bool]) -> None:
    arguments = ("run", "-q", "-s", "s", "--run-id", "dead", "hi")
    shutil.copytree(world.home, world.home.with_name("before"))
    point = next(point for point in points(world, *arguments) if where(point))
    shutil.rmtree(world.home)
    world.home.with_name("before").rename(world.home)
    ended = faulty(world, point, KILL, *arguments)
    assert ended is not None


@dataclass(frozen=True)
class Case:
    """A run, and the home it begins in."""

    before: Callable[[World], None]
    run: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.run[0]}-{self.before.__name__}"


CASES = [
    Case(empty, RUN),
    Case(torn, CONTINUE),
    Case(dead, CONTINUE),
    Case(stored_dead, RUN),
    Case(whole_dead, RUN),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture
def world(tmp_path: Path) -> World:
    require_strace()
    return World(tmp_path / "first")


def begun(world: World, case: Case) -> list[Point]:
    """Bring the world to where the case begins; return the points of its run."""
    case.before(world)
    return points_of(world, *case.run)


def after(world: World, case: Case, ended: Result) -> str | None:
    """Say what is wrong with the session, and with a run after the fault."""
    acknowledged = {"it"} if ended.code == 0 or ended.out.endswith("\n") else set()
    before = world.stored_run("it")
    was_kept = any(world.home.rglob("*.part")) if world.home.exists() else False
    again = world("run", *SAME, code=None)
    if again.code:
        return f"then the next run ended in {again.code}: {again.err}"
    if again.json["content"] != ANSWER or again.json["status"] != "COMPLETED":
        return f"then the next run gave {again.out[:300]}"
    kept = {"it"} if before or acknowledged else set()
    kept |= {"dead"} if case.before not in (empty, torn) else set()
    wrong = check(world.path, kept)
    if any(world.home.rglob("*.part")):
        wrong.append("a record is left in flight")
    first = world.stored_run("it")
    if was_kept and first is None:
        wrong.append("the run in flight is lost")
    if before is not None and (first != before or again.json["run_id"] != "it"):
        wrong.append("the model was asked again for a stored run")
    lost = world.stored_run("dead") if "dead" in kept else None
    if lost is not None and lost["content"] != ANSWER:
        wrong.append(f"the dead run came back with {lost['content']!r}")
    return "; ".join(wrong) or None


def after_kill(case: Case) -> Judge:
    def judge(world: World, point: Point, fault: str) -> str | None:
        ended = faulty(world, point, fault, *case.run)
        if ended is None:
            return "never came there"
        if ended.out and world.stored_run("it") is None:
            return "acknowledged before it was stored"
        return after(world, case, ended)

    return judge


@every_case
def test_a_run_killed_in_front_of_any_call_loses_and_doubles_nothing(
    world: World, case: Case, figure: Figure
) -> None:
    found = begun(world, case)
    assert len(found) > 50
    assert found[-1].name == LAST
    wrong = judged(world, [(point, KILL) for point in found], after_kill(case))
    assert not wrong, "\n".join(wrong)
    figure(f"crash points of {case}", f"{len(found)}, all hold")


def errors(point: Point) -> Sequence[str]:
    """What a call may fail with.

    A folder of a disk is never opened with EINTR. A call that strace lets fail is not made, and a
    lock that is not closed is still held: no system does that.
    """
    possible = ERRORS.get(point.name, ("EIO",))
    if point.name == "close" and ".lock" in point.arguments:
        return ()
    return possible[:-1] if "O_DIRECTORY" in point.arguments else possible


def after_error(case: Case) -> Judge:
    def judge(world: World, point: Point, fault: str) -> str | None:
        ended = faulty(world, point, f"error={fault}", *case.run)
        if ended is None:
            return "never came there"
        if fault == "EINTR" and ended.code:
            return f"an interrupted call is no error, but: {ended.err}"
        return agree(world, ended) or after(world, case, ended)

    return judge


def agree(world: World, ended: Result) -> str | None:
    """Say where exit code, output and file differ."""
    said = f"exit {ended.code}, {ended.out[:80]!r}, {ended.err!r}"
    if ended.code not in (0, 74) or "Traceback" in ended.err:
        logs = [path.read_text()[-600:] for path in world.home.glob("logs/*")]
        return "\n".join([said, *logs])
    line = world.stored_run("it")
    if ended.code == 0:
        stored = line is not None and ended.out == world_line(world)
        return None if stored else f"acknowledged, not stored: {said}"
    if not ended.out:
        return f"stored, not told: {said}" if line is not None else None
    told = json.loads(ended.out)
    if "content" not in told:
        return f"stored, but told as not begun: {said}" if line is not None else None
    if told["content"] != ANSWER or told["seq"] is not None:
        return f"told as stored: {said}"
    kept = line is not None or any(world.home.rglob("*.part"))
    return None if kept else f"paid for and lost: {said}"


def world_line(world: World) -> str:
    """The line of the run, as it stands in the file."""
    lines = world.path.read_text("ascii").splitlines(keepends=True)
    return next((line for line in lines if json.loads(line)["run_id"] == "it"), "")


@pytest.mark.parametrize("case", CASES[:3], ids=str)
def test_a_call_that_fails_is_told_and_loses_and_doubles_nothing(
    world: World, case: Case, figure: Figure
) -> None:
    found = [point for point in begun(world, case) if point.name != LAST]
    faults = [(point, error) for point in found for error in errors(point)]
    wrong = judged(world, faults, after_error(case))
    assert not wrong, "\n".join(wrong)
    figure(f"error points of {case}", f"{len(faults)}, all hold")


def paths_of(world: World, found: list[Point]) -> list[str]:
    """The files and folders that a run touches, those of passing names left out."""
    names = {path for point in found for path in PATH.findall(point.arguments)}
    kept = sorted(name for name in names if not name.endswith((".new", "HOME")))
    return [name.replace("HOME", str(world.home)) for name in kept]


@pytest.mark.parametrize("case", [CASES[0], CASES[2]], ids=str)
def test_a_call_that_goes_on_failing_is_told_and_loses_and_doubles_nothing(
    world: World, case: Case, figure: Figure
) -> None:
    paths = paths_of(world, begun(world, case))
    wrong, count = [], 0
    for name, error in STICKY:
        for number in range(1, 100):
            world.again()
            ended = sticky(world, name, number, error, paths, *case.run)
            if ended is None:
                break
            count += 1
            told = agree(world, ended) or after(world, case, ended)
            wrong += [f"{error} at {name} from {number} on: {told}"] if told else []
    assert not wrong, "\n".join(wrong)
    assert count > 40
    figure(f"lasting errors in {case}", f"{count}, all hold")
