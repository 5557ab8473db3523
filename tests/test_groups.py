"""Tests that hinder each other run in the same group, one after the other."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAST = "tests/cli/test_models.py::test_an_installed_model_is_listed_as_such"


def test_tests_of_the_embedded_model_are_one_group() -> None:
    command = (sys.executable, "-m", "pytest", "-v", "-n", "1", "--dist", "loadgroup", FAST)
    done = subprocess.run(
        (*command, "-p", "no:cacheprovider"),
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "CLEW_TEST_WARM"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"PASSED {FAST}@embedded" in done.stdout
