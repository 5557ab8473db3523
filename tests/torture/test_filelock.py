"""The lock tests once more, with the next major version of filelock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Clew

ROOT = Path(__file__).parents[2]
PINNED = ROOT / "requirements" / "filelock4.txt"
SUITES = ("test_concurrency.py", "test_contract.py", "test_jsonl.py")
NOT_LOCKS = "not whatever_stands_at_any_place"
VERSION = "import filelock; print(filelock.__version__)"


@pytest.fixture
def next_filelock(tmp_path: Path) -> Path:
    """A folder with that version in it; skips the test where it cannot be installed."""
    folder = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    wanted = ["--require-hashes", "--no-deps", "--target", str(folder), "-r", str(PINNED)]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"filelock 4 cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder


def version(env: dict[str, str]) -> str:
    """The filelock that a process of this environment imports."""
    command = [sys.executable, "-c", VERSION]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_the_lock_tests_pass_with_filelock_4(
    next_filelock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(next_filelock))
    assert version(dict(os.environ)).startswith("4.")
    assert version(Clew(tmp_path / "command").env).startswith("4.")
    suites = [f"tests/stores/{name}" for name in SUITES]
    options = ["-q", "-p", "no:cacheprovider", "-k", NOT_LOCKS, "--basetemp", str(tmp_path / "t")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *suites],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
