"""Where commands run in a run that is gone on with from another folder."""

import json
from pathlib import Path

import pytest

from tests.conftest import Clew
from tests.paused import call, plays, tool

STEPS = """
kind: workflow
steps:
  - {name: one, run: [sh, -c, "echo from one > left.txt"], files: [left.txt]}
  - {name: two, run: [sh, -c, "pwd; cat left.txt"], requires_confirmation: true}
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_a_tool_runs_where_the_run_began(clew: Clew, elsewhere: Path) -> None:
    asks = str(clew.cwd / tool(clew, "where", "pwd", requires_confirmation=True))
    model = plays(clew, [call("c1", "where", to="x")])
    clew("run", "-q", "-s", "s", "-m", model, "-t", asks, "go", code=6)
    line = clew("continue", "-q", "-s", "s", "--confirm", "--json", cwd=elsewhere).json
    assert (line["tools"][0]["result"], line["cwd"]) == (str(clew.cwd), str(clew.cwd))


def test_a_step_runs_where_the_run_began(clew: Clew, elsewhere: Path) -> None:
    (clew.cwd / "flow.yaml").write_text(STEPS)
    clew("run", "-q", "-s", "s", "--workflow", "flow.yaml", "go", code=6)
    done = clew("continue", "-q", "-s", "s", "--confirm", cwd=elsewhere)
    assert done.out == f"{clew.cwd}\nfrom one\n"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("named", ["flow.yaml", "flow:it"])
def test_functions_are_found_where_the_run_began(clew: Clew, elsewhere: Path, named: str) -> None:
    (clew.cwd / "flow.py").write_text(
        "from clew.core.steps import Pause, Step\n"
        "from clew.core.workflow import Workflow\n\n"
        "def shout(given):\n    return given.content.upper()\n\n"
        "it = Workflow(steps=[Step(shout, pause=Pause(confirmation=True))])\n"
    )
    (elsewhere / "flow.py").write_text("raise RuntimeError('not this one')\n")
    step = "{python: 'flow:shout', requires_confirmation: true}"
    (clew.cwd / "flow.yaml").write_text(f"kind: workflow\nsteps:\n- {step}\n")
    clew("run", "-q", "-s", "s", "--workflow", named, "go", code=6)
    assert clew("continue", "-q", "-s", "s", "--confirm", cwd=elsewhere).out == "GO\n"


def test_functions_that_are_tools_are_found_where_the_session_was(
    clew: Clew, elsewhere: Path
) -> None:
    source = 'def add(a: int, b: int) -> int:\n    """Add."""\n    return a + b\n'
    (clew.cwd / "sums.py").write_text(source)
    model = clew.recording(("hi", "hello"))
    clew("run", "-q", "-s", "s", "-m", model, "-t", "sums:add", "hi")
    assert clew("continue", "-q", "-s", "s", "hi", cwd=elsewhere).out == "hello\n"
    other = clew("continue", "-s", "s", "-t", "sums:add", "hi", cwd=elsewhere, code=2)
    assert "cannot load the tool 'sums:add'" in other.err


def test_a_folder_that_is_gone_is_told(clew: Clew, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    (clew.cwd / "flow.yaml").write_text(STEPS)
    flow = str(clew.cwd / "flow.yaml")
    clew("run", "-q", "-s", "s", "--workflow", flow, "go", code=6, cwd=gone)
    (gone / "left.txt").unlink()
    gone.rmdir()
    line = clew("continue", "-q", "-s", "s", "--confirm", "--json", code=1).json
    assert f"the folder '{gone}', in which the run began, is gone" in line["error"]["message"]
    assert json.loads(clew("history", "-s", "s", "--json", "-n", "1").out) == line
