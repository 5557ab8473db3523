"""Runs whose time is up in the middle of their work, on a machine of whatever speed."""

import shutil
from collections.abc import Callable

import pytest

from tests.conftest import Clew, Result


def out_of_time(
    clew: Clew, far_enough: Callable[[Result], object], *arguments: str, least: int = 4
) -> Result:
    """Run in an empty home until the time is up: with more of it, where that was too early."""
    for seconds in (least, 4 * least, 16 * least):
        shutil.rmtree(clew.home, ignore_errors=True)
        ended = clew(*arguments, "--timeout", str(seconds), code=5)
        if far_enough(ended):
            return ended
    pytest.fail("it never came that far")
