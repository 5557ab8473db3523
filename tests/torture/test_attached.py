"""A run with an attachment: killed in front of every call that keeps it, and each of them failing.

Whatever happens, a record or a line that names an attachment finds it whole.
"""

from hashlib import sha256
from pathlib import Path

import pytest

from tests.attached import PNG
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.strace import KILL, Point, faulty, require_strace
from tests.torture.test_points import errors
from tests.torture.world import ANSWER, World, judged, points_of, that_change

RUN = ("run", "-q", "-s", "s", "--run-id", "it", "--json", "-f", "dot.png", "hi")
NAME = sha256(PNG).hexdigest()


@pytest.fixture
def world(tmp_path: Path) -> World:
    require_strace()
    return World(tmp_path / "first")


def kept(world: World) -> bytes | None:
    path = world.home / "users" / "default" / "attachments" / NAME
    return path.read_bytes() if path.exists() else None


def begun(world: World) -> list[Point]:
    """Return the calls of a run that sends an image, up to where its record is there."""
    (world.cwd / "dot.png").write_bytes(PNG)
    found = points_of(world, *RUN)
    last = next(n for n, one in enumerate(found) if one.name == "rename" and ".part" in str(one))
    return found[: last + 1]


def after(world: World, point: Point, fault: str) -> str | None:
    """Say what is wrong after the fault, and after the same call again."""
    (world.cwd / "dot.png").write_bytes(PNG)
    ended = faulty(world, point, fault, *RUN)
    if ended is None:
        return "never came there"
    if "Traceback" in ended.err:
        return ended.err
    records = [path.read_text() for path in world.home.rglob("*.part")]
    lines = world.path.read_text() if world.path.exists() else ""
    if any(NAME in text for text in [*records, lines]) and kept(world) != PNG:
        return "an attachment is on record that is not there"
    again = world(*RUN, code=None)
    if again.code or again.json["content"] != ANSWER:
        return f"then the next run ended in {again.code}: {again.err}"
    if kept(world) != PNG or world("sessions", "verify", "s", code=None).code:
        return "then the attachment was not there"
    return "; ".join(check(world.path, {"it"})) or None


def test_a_run_killed_while_it_keeps_an_attachment_names_none_that_is_not_there(
    world: World, figure: Figure
) -> None:
    found = that_change(begun(world))
    assert sum("attachments" in str(point) for point in found) > 4
    wrong = judged(world, [(point, KILL) for point in found], after)
    assert not wrong, "\n".join(wrong)
    figure("crash points of keeping an attachment", f"{len(found)}, all hold")


def test_a_call_that_fails_while_an_attachment_is_kept_is_told(
    world: World, figure: Figure
) -> None:
    found = [point for point in begun(world) if "attachments" in str(point)]
    faults = [(point, f"error={error}") for point in found for error in errors(point)]
    wrong = judged(world, faults, after)
    assert not wrong, "\n".join(wrong)
    figure("error points of keeping an attachment", f"{len(faults)}, all hold")


def test_an_attachment_and_its_name_are_on_the_disk_before_the_run_is_on_record(
    world: World,
) -> None:
    calls = [(point.name, point.arguments) for point in begun(world)]
    steps = [
        next(n for n, (name, said) in enumerate(calls) if name == wanted and part in said)
        for wanted, part in (
            ("write", f"attachments/{NAME}"),
            ("fsync", f"attachments/{NAME}"),
            ("rename", f"attachments/{NAME}"),
            ("fsync", "attachments>"),
            ("write", ".part"),
        )
    ]
    assert steps == sorted(steps)
