"""What `--tool` takes for the tests' own MCP server, and that server on loopback."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import Clew
from tests.toolcalls import Json, calling, results

SERVER = Path(__file__).with_name("mcp_tools.py")
PROGRAM = [sys.executable, str(SERVER)]


def served(*command: str, mcp: Json | None = None, **more: Any) -> str:
    """What `--tool` takes for a server: the tests' own, or another command."""
    return json.dumps({"mcp": {"command": list(command) or PROGRAM} | (mcp or {})} | more)


def outcomes(clew: Clew, tool: str, *calls: Json, options: tuple[str, ...] = ()) -> list[Json]:
    """How each of these calls, made one after the other, ended."""
    model = calling(clew, *([each] for each in calls))
    line = clew("run", "-q", "-m", model, "-t", tool, *options, "--json", "go").json
    assert line["content"] == "done"
    assert len(results(line)) == len(calls)
    return list(line["tools"])


@contextmanager
def listening(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run the tests' own server on loopback; give its address and its process."""
    with (folder / "http.log").open("wb") as log:
        process = subprocess.Popen(
            [*PROGRAM, "http"], stdout=subprocess.PIPE, stderr=log, cwd=folder
        )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip(), process
    finally:
        process.kill()
        process.communicate()
