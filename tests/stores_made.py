"""Stores of any size, written at the speed of the disk: for the benchmark and for tests of growth.

The lines are what clew itself writes: one run is made by the caller, and sealed again and again.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from clew.core.clock import new_id, now
from clew.core.flight import draft_of
from clew.core.lines import RunLine, encode
from clew.core.session import Tip, seal, tip_after


def runs(user: str, session: str, run: RunLine, count: int) -> Iterator[bytes]:
    """Yield the lines of a session in which `run` was made `count` times."""
    tip = Tip()
    for _ in range(count):
        again = run.copy()
        again["run_id"] = new_id()
        line = seal(draft_of(again), tip, session_id=session, user_id=user, created_at=now())
        tip = tip_after(line)
        yield encode(line)


def long_session(home: Path, user: str, session: str, run: RunLine, count: int) -> Path:
    """Write a session of so many runs, and return its file."""
    path = _folder(home, user) / f"{session}.jsonl"
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(runs(user, session, run, count))
    path.chmod(0o600)
    return path


def many_sessions(home: Path, user: str, run: RunLine, count: int) -> None:
    """Write so many sessions of one run each, with the locks that clew leaves beside them."""
    folder = _folder(home, user)
    mark = "@session@"
    (line,) = runs(user, mark, run, 1)
    for _ in range(count):
        session = new_id()
        data = line.replace(mark.encode(), session.encode())
        for name, content in ((f"{session}.jsonl", data), (f"{session}.append.lock", b"{}")):
            fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, content)
            os.close(fd)


def _folder(home: Path, user: str) -> Path:
    folder = home / "users" / user
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
