"""The lock on an open file."""

import subprocess
import sys
from pathlib import Path

import pytest

from clew.stores import native_lock

WHOLE = """
import sys
from clew.stores import native_lock
file = open(sys.argv[1])
assert native_lock.lock(file.fileno())
import filelock, filelock._api
filelock.FileLock(sys.argv[1] + ".other").acquire(blocking=False)
assert filelock._api.BaseFileLock is filelock.BaseFileLock
try:
    filelock.FileLock(sys.argv[1]).acquire(blocking=False)
except filelock.Timeout:
    print("taken")
"""
MISSING = """
import sys
from importlib.abc import MetaPathFinder
class No(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "filelock._descriptor" and "filelock._api" not in sys.modules:
            raise ImportError(name)
sys.meta_path.insert(0, No())
from clew.stores import native_lock
file = open(sys.argv[1])
print(native_lock.lock(file.fileno()), "filelock" in sys.modules)
"""


def said_by(program: str, path: Path) -> str:
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


def test_two_cannot_have_it(path: Path) -> None:
    with path.open() as first, path.open() as second:
        assert native_lock.lock(first.fileno())
        assert not native_lock.lock(second.fileno())


def test_filelock_is_whole_for_whoever_imports_it_later_and_knows_the_lock(path: Path) -> None:
    assert said_by(WHOLE, path) == "taken\n"


def test_a_filelock_that_is_laid_out_otherwise_is_imported_whole(path: Path) -> None:
    assert said_by(MISSING, path) == "True True\n"
