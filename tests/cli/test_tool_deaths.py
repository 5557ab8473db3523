"""Runs that are stopped, or die, while a tool runs."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clew, Result, eventually
from tests.timed import out_of_time
from tests.toolcalls import (
    Json,
    alive,
    call,
    calling,
    command,
    ends,
    needs_proc,
    record,
    results,
    script,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MAY_HAVE = "while this tool ran: it may have done its work, and was not called again"
SLOW = script("sleep 1000 & echo $! > child; echo $$ > own; echo x >> called; wait", name="slow")
QUICK = command("echo", "quick", name="quick")


@contextmanager
def standing(
    clew: Clew, *turns: list[Json], tools: tuple[str, ...] = (QUICK, SLOW)
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a run and give its process when `slow` runs, and every call of `quick` has ended."""
    model = calling(clew, *turns)
    options = [word for tool in tools for word in ("-t", tool)]
    run = ["run", "-q", "-m", model, "-s", "s", *options, "-o", "stream-json", "go"]
    process = clew.start(*run)
    assert process.stdout is not None
    quick = sum(each["function"]["name"] == "quick" for turn in turns for each in turn)
    try:
        while quick:
            event = json.loads(process.stdout.readline())
            quick -= event["event"] == "ToolCallCompleted"
        eventually((clew.cwd / "called").exists)
        yield process
    finally:
        process.kill()
        process.communicate()


def calls_of(clew: Clew) -> int:
    """How often `slow` was called."""
    return len((clew.cwd / "called").read_text().splitlines())


def children_end(clew: Clew) -> None:
    for name in ("own", "child"):
        ends(int((clew.cwd / name).read_text()))


TURNS = ([call("quick", "c0")], [call("quick", "c1"), call("slow", "c2", n=1), call("quick", "c3")])


def stopped(clew: Clew, signum: signal.Signals) -> tuple[Json, Json]:
    """Stop a run with a slow tool; return its line and the last event."""
    with standing(clew, *TURNS) as process:
        process.send_signal(signum)
        out, _ = process.communicate(timeout=200)
    assert process.returncode == -signum
    (line,) = clew.stored("s")
    return line, json.loads(out.splitlines()[-1])


@needs_proc
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_a_tool_runs_ends_it_and_every_call_has_its_result(
    clew: Clew, signum: signal.Signals
) -> None:
    line, last = stopped(clew, signum)
    assert (line["status"], line["exit_code"]) == ("CANCELLED", 128 + signum)
    assert results(line) == ["quick", "quick", f"the run ended {MAY_HAVE}", "quick"]
    assert [tool["tool_call_error"] for tool in line["tools"]] == [False, False, True, False]
    assert line["tools"][2]["tool_args"] == {"n": 1}
    assert (last["event"], last["run"]) == ("RunCancelled", line)
    children_end(clew)


@needs_proc
def test_a_kill_while_a_tool_runs_ends_the_tool_and_every_call_has_its_result(clew: Clew) -> None:
    with standing(clew, *TURNS) as process:
        process.kill()
        process.wait(200)
    children_end(clew)
    (line,) = clew("history", "-s", "s", "--json").lines
    assert (line["status"], line["seq"]) == ("INTERRUPTED", None)
    assert results(line) == ["quick", "quick", f"the process died {MAY_HAVE}", "quick"]
    assert line["tools"][2]["tool_args"] == {"n": 1}
    clew("state", "set", "-s", "s", "a=1")
    stored, _ = clew.stored("s")
    assert (stored["status"], results(stored)) == ("INTERRUPTED", results(line))
    clew("sessions", "verify", "-s", "s")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_resumed_run_tells_the_model_and_does_not_call_again(
    clew: Clew, signum: signal.Signals
) -> None:
    with standing(clew, *TURNS) as process:
        process.send_signal(signum)
        process.wait(200)
    done = clew("continue", "-s", "s", "-q", "--resume", "-t", QUICK, "-t", SLOW, "--json").json
    how = "the run ended" if signum == signal.SIGTERM else "the process died"
    sent = [json.loads(raw) for raw in as_sent(clew, done["run_id"])]
    assert [m["content"] for m in sent if m["role"] == "tool"][2] == f"{how} {MAY_HAVE}"
    assert (done["status"], done["content"]) == ("COMPLETED", "done")
    assert calls_of(clew) == 1
    clew("sessions", "verify", "-s", "s")


def as_sent(clew: Clew, run_id: str) -> list[str]:
    return clew("history", "-s", "s", f"--as-sent={run_id}", "--json").out.splitlines()


def test_calls_that_were_not_begun_are_told_from_those_that_were(clew: Clew) -> None:
    os.mkfifo(clew.cwd / "gate")
    block = (
        "import os\n\ndef slow() -> None:\n    open('called', 'w').close(); open('gate').read()\n"
    )
    (clew.cwd / "mine.py").write_text(block)
    with standing(clew, [call("slow", "c1"), call("missing", "c2")], tools=("mine:slow",)) as run:
        pass
    assert run.returncode == -signal.SIGKILL
    (line,) = clew("history", "-s", "s", "--json").lines
    assert results(line)[0] == f"the process died {MAY_HAVE}"
    assert results(line)[1] == "the process died before this tool was called"


def test_a_function_that_never_returns_does_not_hold_up_an_interrupt(clew: Clew) -> None:
    os.mkfifo(clew.cwd / "gate")
    block = "def slow() -> None:\n    open('called', 'w').close(); open('gate').read()\n"
    (clew.cwd / "mine.py").write_text(block)
    with standing(clew, [call("slow", "c1")], tools=("mine:slow",)) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(100) == -signal.SIGINT
    (line,) = clew.stored("s")
    assert results(line) == [f"the run ended {MAY_HAVE}"]
    assert 0 < line["tools"][0]["duration"] <= line["metrics"]["duration"]


def state_of(clew: Clew) -> Any:
    return clew("state", "-s", "s", "--json").json["session_state"]


def test_a_state_given_at_the_start_is_there_for_the_first_command(clew: Clew) -> None:
    model = calling(clew, [call("t")])
    run = ("run", "-q", "-m", model, "-s", "s", "--run-id", "r1", "--state", '{"a": {"b": 1}}')
    clew(*run, "-t", script("clew state get a.b"), "go")
    first, line = clew.stored("s")
    assert (first["type"], first["by"], first["state_patch"]) == ("state", "r1", {"a": {"b": 1}})
    assert results(line) == ["1"]
    assert line["state_patch"] is None


def test_what_a_command_sets_is_seen_by_later_tools_and_kept(clew: Clew) -> None:
    see = "def see(run_context):\n    run_context.session_state['seen'] = True\n"
    see += "    return run_context.session_state\n"
    (clew.cwd / "mine.py").write_text(see)
    turns = [call("t", "c1")], [call("see", "c2")], [call("get", "c3")]
    model = calling(clew, *turns)
    tools = ("-t", script("clew state set n:=1"), "-t", "mine:see")
    last = ("-t", script("clew state get seen", name="get"))
    line = clew("run", "-q", "-m", model, "-s", "s", *tools, *last, "--json", "go").json
    assert results(line) == ["", '{"n": 1, "seen": true}', "true"]
    assert line["session_state"] == state_of(clew) == {"n": 1, "seen": True}
    clew("sessions", "verify", "-s", "s")


def test_a_state_put_in_place_before_does_not_undo_what_a_command_sets(clew: Clew) -> None:
    model = calling(clew, [call("t")])
    run = ("run", "-q", "-m", model, "-s", "s", "--state-replace", "{}")
    clew(*run, "-t", script("clew state set n:=1"), "go")
    assert state_of(clew) == {"n": 1}


def test_a_state_is_put_in_place_for_a_command(clew: Clew) -> None:
    clew("state", "set", "-s", "s", "--create", "old=1")
    model = calling(clew, [call("t")])
    run = ("run", "-q", "-m", model, "-s", "s", "--state-replace", '{"new": 1}')
    clew(*run, "-t", script("clew state set n:=1"), "go")
    assert state_of(clew) == {"new": 1, "n": 1}
    clew("sessions", "verify", "-s", "s")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("at_once", [False, True])
def test_state_that_tools_have_changed_is_kept_when_the_run_dies(
    clew: Clew, signum: signal.Signals, at_once: bool
) -> None:
    put = "def quick(run_context):\n    run_context.session_state['a'] = 1\n"
    (clew.cwd / "mine.py").write_text(put)
    slow = script("clew state set b:=2; echo x > called; sleep 1000", name="slow")
    quick, other = call("quick", "c1"), call("slow", "c2")
    turns = [[quick, other]] if at_once else [[quick], [other]]
    with standing(clew, *turns, tools=("mine:quick", slow)) as process:
        process.send_signal(signum)
        process.wait(200)
    clew("state", "set", "-s", "s", "c:=3")
    assert state_of(clew) == {"a": 1, "b": 2, "c": 3}
    clew("sessions", "verify", "-s", "s")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_change_by_a_function_that_was_not_stored_yet_is_kept_when_the_run_dies(
    clew: Clew, signum: signal.Signals
) -> None:
    os.mkfifo(clew.cwd / "gate")
    text = "def quick(run_context):\n    run_context.session_state['a'] = 1\n\n"
    text += "def slow():\n    open('called', 'w').close(); open('gate').read()\n"
    (clew.cwd / "mine.py").write_text(text)
    turns = [call("quick", "c1")], [call("slow", "c2")]
    with standing(clew, *turns, tools=("mine:quick", "mine:slow")) as process:
        process.send_signal(signum)
        process.wait(200)
    clew("state", "set", "-s", "s", "next:=1")  # whoever writes next finds the run dead
    assert state_of(clew) == {"a": 1, "next": 1}


@pytest.mark.parametrize(
    "inside",
    [
        "clew continue hi",
        "clew continue -s s hi",
        "clew run -s s --history hi",
        "clew continue -s @n x",
    ],
)
def test_a_command_cannot_go_on_with_the_session_that_waits_for_it(clew: Clew, inside: str) -> None:
    model = calling(clew, [call("t")])
    tool = script(f"{inside} 2>&1; echo $?")
    run = ("run", "-q", "-m", model, "-s", "s", "--name", "n", "-t", tool, "--json", "go")
    told = results(clew(*run).json)[0]
    assert "this command was started by a run of session s, which waits for it" in told
    assert told.endswith("\n2")


def test_nor_with_one_that_waits_for_the_run_that_started_it(clew: Clew) -> None:
    outer, inner = calling(clew, [call("t")]), record(clew.cwd / "inner.jsonl", [call("t")])
    back = script("clew continue --no-stdin -s s back 2>&1; echo $?")
    across = f"clew run -q --no-stdin -m {inner} -s other -t {shlex.quote(back)} --json go"
    run = ("run", "-q", "-m", outer, "-s", "s", "-t", script(across), "--json", "go")
    told = results(json.loads(results(clew(*run).json)[0]))[0]
    assert "this command was started by a run of session s, which waits for it" in told
    assert told.endswith("\n2")


@pytest.mark.parametrize("options", [(), ("--no-store",)], ids=["", "--no-store"])
def test_a_command_cannot_be_another_user(clew: Clew, options: tuple[str, ...]) -> None:
    clew("state", "set", "-u", "bob", "-s", "b", "--create", "secret=1")
    model = calling(clew, [call("t")])
    tool = script("clew state -u bob -s b 2>&1; echo $?")
    line = clew("run", "-q", "-u", "ann", "-m", model, *options, "-t", tool, "--json", "go").json
    assert (
        "this command was started by a run of user 'ann': it may not be 'bob'" in results(line)[0]
    )
    assert results(line)[0].endswith("\n2")


def test_a_command_may_run_in_a_session_of_its_own_and_read_the_one_it_serves(clew: Clew) -> None:
    inner = clew.recording(("hi", "hello"))
    model = calling(clew, [call("t")])
    tool = script(f"clew run -q --no-stdin -s other -m {inner} hi; clew history | head -n 2")
    calling(clew, [], prompt="first")
    clew("run", "-q", "-m", model, "-s", "s", "-t", tool, "first")
    line = clew("run", "-q", "-m", model, "-s", "s", "-t", tool, "--json", "go").json
    told = results(line)[0].splitlines()
    assert (told[0], told[2]) == ("hello", "> first")
    assert clew.stored("other")[0]["content"] == "hello"


@needs_proc
def test_the_end_of_the_runs_time_ends_its_tools_and_keeps_the_work(clew: Clew) -> None:
    model = calling(clew, *TURNS)
    run = ("run", "-q", "-m", model, "-s", "s", "-t", QUICK, "-t", SLOW, "--json", "go")

    def all_but_one_are_done(ended: Result) -> bool:
        return results(ended.json)[3:] == ["quick"] and (clew.cwd / "called").exists()

    line = out_of_time(clew, all_but_one_are_done, *run, least=2).json
    assert (line["status"], line["error"]["kind"]) == ("ERROR", "limit")
    told = results(line)
    assert told[0] == told[1] == told[3] == "quick"
    assert "and was ended" in told[2]
    children_end(clew)


def test_nothing_of_a_tool_is_left_when_its_run_has_ended(clew: Clew) -> None:
    model = calling(clew, [call("t")])
    clew("run", "-q", "-m", model, "-s", "s", "-t", script("echo $PPID"), "go")
    mine = [path for path in Path("/proc").glob("[0-9]*/cwd") if inside(path, clew.cwd)]
    assert [path for path in mine if alive(int(path.parent.name))] == []


def inside(link: Path, folder: Path) -> bool:
    try:
        return link.readlink() == folder
    except OSError:
        return False


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_a_confirmed_call_that_was_stopped_is_not_made_again(
    clew: Clew, signum: signal.Signals
) -> None:
    model = calling(clew, [call("slow")])
    asks = script("echo x >> called; sleep 1000", name="slow", requires_confirmation=True)
    clew("run", "-q", "-m", model, "-s", "s", "-t", asks, "go", code=6)
    process = clew.start("continue", "-q", "-s", "s", "--confirm")
    eventually((clew.cwd / "called").exists)
    process.send_signal(signum)
    process.communicate(timeout=200)
    line = clew("continue", "-q", "-s", "s", "--resume", "-y", "--json").json
    assert line["status"] == "COMPLETED"
    [told] = [each["content"] for each in line["messages"] if each["role"] == "tool"]
    assert MAY_HAVE in told
    assert calls_of(clew) == 1
