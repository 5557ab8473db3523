"""Workflows as Python objects, in a module that the command finds."""

from textwrap import dedent

from tests.conftest import Clew
from tests.defined import write

_HEAD = """\
from clew.core import Agent, Team
from clew.core.steps import *
from clew.core.workflow import Workflow


def sh(script, name=None, **more):
    return Step(Command(["sh", "-c", script]), name=name, **more)


"""


def flows(clew: Clew, text: str) -> None:
    """Write the module `flows`; in it are all parts of workflows, and `sh`, a step that is a shell
    script."""
    write(clew.cwd / "flows.py", _HEAD + dedent(text))
