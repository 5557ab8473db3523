"""Two who settle the same pause, or make the same call, at the same moment."""

import json
import os
import subprocess
from typing import Any

from tests.conftest import Clew, eventually
from tests.paused import TRACE, call, plays, sent, tool
from tests.provider import Provider
from tests.torture.checker import check
from tests.torture.conftest import Figure
from tests.torture.without import without

ROUNDS = 3
SETTLE = ("continue", "-q", "-s", "s", "--resume", "--confirm", "--json")


def both(clew: Clew, *arguments: str) -> list[tuple[int, bytes]]:
    """Run a command twice, both from the same moment on; return how each ended, and its output."""
    starts, start = os.pipe()
    processes = [
        subprocess.Popen(
            ["bash", "-c", 'read -u "$0"; exec clew "$@"', str(starts), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=clew.env,
            cwd=clew.cwd,
            pass_fds=[starts],
        )
        for _ in range(2)
    ]
    os.close(starts)
    os.write(start, b"\n\n")
    os.close(start)
    return [(p.communicate(timeout=200)[0], p.returncode)[::-1] for p in processes]


def the_same(ended: list[tuple[int, bytes]]) -> Any:
    """Return the one line that both printed."""
    assert ended[0] == ended[1]
    return json.loads(ended[0][1])


def test_of_two_who_do_the_same_at_once_one_calls_model_and_tool_and_both_get_its_line(
    clew: Clew, provider: Provider, figure: Figure
) -> None:
    path = tool(clew, requires_confirmation=True)
    asked = ("-m", "openai/test-model", "-t", path, "--json")
    for number in range(ROUNDS):
        session = f"s{number}"
        requests = len(provider.requests)
        provider.answer(tool_calls=[call(f"c{number}", to=session)])
        provider.answer("Done.")
        paused = the_same(both(clew, "run", "-q", "--run-id", session, *asked, "go"))
        assert (paused["status"], len(provider.requests)) == ("PAUSED", requests + 1)
        settle = ("continue", "-q", "-s", session, "--resume", "--confirm", "--json")
        done = the_same(both(clew, *settle))
        assert (done["content"], len(provider.requests)) == ("Done.", requests + 2)
        assert clew.stored(session) == [paused, done]
        assert check(clew.session_file(session), {paused["run_id"], done["run_id"]}) == []
    assert sent(clew) == [{"to": f"s{number}"} for number in range(ROUNDS)]
    figure(
        "two `--resume --confirm`, two equal `--run-id` at once",
        f"one model call, one tool run, both get the same line ({ROUNDS} rounds)",
    )


def test_without_locks_the_suite_fails(clew: Clew) -> None:
    model = plays(clew, [call("c1", to="a")])
    path = tool(
        clew, script=f"{TRACE}; until [ -e gate ]; do sleep 0.1; done", requires_confirmation=True
    )
    clew("run", "-s", "s", "-m", model, "-t", path, "go", code=6)
    without(clew, "lock")
    first = clew.start(*SETTLE)
    eventually(lambda: sent(clew))
    second = clew.start(*SETTLE)
    eventually(lambda: len(sent(clew)) == 2 or second.poll() is not None)
    (clew.cwd / "gate").touch()
    lines = [process.communicate(timeout=200)[0] for process in (first, second)]
    assert len(sent(clew)) == 2 or lines[0] != lines[1]
