"""A call that a warm process makes, on a terminal: asked there, stopped there, shown there."""

import json
import os
import pty
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.conftest import Clew, eventually
from tests.paused import call, plays, sent, tool
from tests.provider import Answer, Provider
from tests.terminal import Person, in_terminal
from tests.warmth import OF_ITS_OWN, Warmth

pytestmark = OF_ITS_OWN


def test_a_person_is_asked_and_the_answer_is_heard(warm: Clew, warmth: Warmth) -> None:
    model = plays(warm, [call("c1", to="a")])
    wants = ("run", "-s", "s", "-m", model, "-t", tool(warm, requires_confirmation=True), "go")
    with warmth.serves(1):
        person = Person(warm, *wants)
        person.sees("run it? [y/N, or why not] ")
        assert sent(warm) == []
        person.types("y\n")
        code, shown = person.end()
        person.leave()
    assert (code, sent(warm)) == (0, [{"to": "a"}])
    assert shown.startswith("y\r\n")  # the terminal shows what is typed, once


def test_ctrl_c_ends_a_question_and_the_caller(warm: Clew, warmth: Warmth) -> None:
    model = plays(warm, [call("c1", to="a")])
    wants = ("run", "-s", "s", "-m", model, "-t", tool(warm, requires_confirmation=True), "go")
    with warmth.serves(1):
        person = Person(warm, *wants)
        person.sees("run it? [y/N, or why not] ")
        person.types(b"\x03")
        code, _ = person.end()
        person.leave()
    assert code == -2
    assert warm.stored("s")[0]["status"] == "CANCELLED"


def test_what_goes_on_is_drawn_in_front(warm: Clew, warmth: Warmth, provider: Provider) -> None:
    gate = Event()
    warm.env["TERM"] = "xterm"
    provider.answer("one two", wait=3.0, gate=gate)
    with warmth.serves(1):
        person = Person(warm, "run", "-m", "openai/test-model", "hi")
        person.draws("openai/test-model")
        gate.set()
        assert person.end()[0] == 0
        person.leave()


def test_a_session_is_remembered_by_terminal(warm: Clew, warmth: Warmth) -> None:
    model = warm.recording(("hi", "hello"))
    warm("run", "-s", "other", "-m", model, "hi")
    with warmth.serves(3):
        code, shown = in_terminal(
            warm,
            f"clew run -q -s here -m {model} hi;"
            f"setsid -w clew run -q -s gone -m {model} hi;"
            f"clew continue -m {model} hi",
        )
    assert code == 0
    assert b"session here (last used in this terminal)" in shown


class Shell:
    """An interactive bash on a terminal: it has jobs."""

    def __init__(self, clew: Clew) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=clew.env | {"PS1": "READY> ", "TERM": "dumb"},
            cwd=clew.cwd,
        )
        os.close(theirs)
        self.seen = ""

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def sees(self, text: str) -> str:
        """Wait until this is on the terminal; return what came up to it, and forget it."""
        eventually(lambda: text in self._look(), 60)
        before, _, self.seen = self.seen.partition(text)
        return before

    def has_a_job_in_front(self) -> bool:
        """Tell whether it has, and the job has been told to go on."""
        _, _, group, *_, front = stat(self.process.pid)[:6]
        return front != group and stat(int(front))[0] != "T"

    def tells_of(self, *texts: str) -> None:
        """Press Enter until the shell has said all of this, in whatever order."""
        eventually(
            lambda: os.write(self._ours, b"\n") and all(text in self._look() for text in texts), 60
        )
        self.seen = ""

    def _look(self) -> str:
        while select.select([self._ours], [], [], 0.02)[0]:
            try:
                self.seen += os.read(self._ours, 65536).decode("utf-8", "replace")
            except OSError:
                break
        return self.seen

    def leave(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def stat(pid: int) -> list[str]:
    """A process's state, parent, group, session, terminal, which group that has in front, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@pytest.fixture
def shell(warm: Clew, provider: Provider) -> Iterator[Shell]:
    shell = Shell(warm)
    shell.sees("READY> ")
    yield shell
    shell.leave()


def test_ctrl_z_stops_a_run_and_fg_goes_on_with_it(
    warm: Clew, warmth: Warmth, provider: Provider, shell: Shell
) -> None:
    gate = Event()
    provider.answer("one two three four", gate=gate)
    with warmth.serves(1):
        shell.types("clew run -q -s s -m openai/test-model hi; echo code $?\n")
        shell.sees("one ")
        pid = warmth.status["pid"]
        runs = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        shell.types("\x1a")
        shell.sees("Stopped")
        assert stat(int(runs))[0] == "T"
        shell.types("fg\n")
        shell.sees("clew run")
        gate.set()
        shell.sees("two three four")
    assert warm.stored("s")[0]["status"] == "COMPLETED"


@pytest.mark.parametrize("calls", [0, 1], ids=["cold", "warm"])
def test_a_question_in_the_background_stops_the_job_until_it_is_in_front(
    warm: Clew, warmth: Warmth, provider: Provider, shell: Shell, calls: int
) -> None:
    gate = Event()
    asks_in_the_end(warm, provider, gate)
    with warmth.serves(calls):
        shell.types(f"CLEW_WARM={calls} {with_a_tool(warm)}\n")
        provider.wait_for_requests(1)
        shell.types("\x1a")
        shell.sees("Stopped")
        shell.types("bg\n")
        gate.set()
        shell.sees("run it? [y/N, or why not] ")
        shell.tells_of("Stopped")
        shell.types("fg\n")
        eventually(shell.has_a_job_in_front)
        shell.types("y\n")
        shell.sees("done")
    assert sent(warm) == [{"to": "a"}]


@pytest.mark.parametrize("calls", [0, 1], ids=["cold", "warm"])
def test_what_is_typed_while_a_question_is_in_the_background_is_the_shell_s(
    warm: Clew, warmth: Warmth, provider: Provider, shell: Shell, calls: int
) -> None:
    gate = Event()
    gate.set()
    asks_in_the_end(warm, provider, gate)
    with warmth.serves(calls):
        shell.types(f"CLEW_WARM={calls} {with_a_tool(warm)}\n")
        shell.sees("run it? [y/N, or why not] ")
        for _ in range(2):
            shell.types("\x1a")
            shell.sees("Stopped")
            shell.types("bg\n")
            shell.types("echo $((20 + 3))\n")
            shell.tells_of("23", "Stopped")
            shell.types("fg\n")
            eventually(shell.has_a_job_in_front)
        shell.types("y\n")
        shell.sees("done")
    assert sent(warm) == [{"to": "a"}]


def asks_in_the_end(warm: Clew, provider: Provider, gate: Event) -> None:
    """Have the model call a tool, when its gate is open, and then be done."""
    function = {"name": "send", "arguments": '{"to": "a"}'}
    provider.answer("well", tool_calls=[{"id": "c1", "function": function}], gate=gate)
    provider.answer("done")


def with_a_tool(warm: Clew) -> str:
    """A command whose tool is asked about."""
    spec = tool(warm, requires_confirmation=True).replace("'", "'\\''")
    return f"clew run -q -s s -m openai/test-model -t '{spec}' go"


def test_ctrl_c_ends_a_shell_s_loop(
    warm: Clew, warmth: Warmth, provider: Provider, shell: Shell
) -> None:
    provider.default = Answer(fault="hang")
    with warmth.serves(1):
        shell.types("for i in 1 2 3; do clew run -q -s s -m openai/test-model hi; done\n")
        provider.wait_for_requests(1)
        shell.types("\x03")
        shell.sees("READY> ")
    assert [line["status"] for line in warm.stored("s")] == ["CANCELLED"]
    assert len(provider.requests) == 1


def test_a_call_in_the_background_that_has_its_terminal_is_made_without(
    warm: Clew, warmth: Warmth, shell: Shell
) -> None:
    model = warm.recording(("hi", "hello"))
    with warmth.serves(0):
        shell.types(f"clew run -q -m {model} hi & wait\n")
        shell.sees("hello")
    assert "background" in warmth.status["why"]


def test_a_typed_prompt_ends_with_ctrl_d(warm: Clew, warmth: Warmth) -> None:
    model = warm.recording(("one\ntwo", "both"))
    with warmth.serves(1):
        person = Person(warm, "run", "-q", "--json", "-s", "s", "-m", model)
        person.types("one\ntwo\n\x04")
        code, _ = person.end()
        person.leave()
    assert code == 0
    assert json.loads(warm.session_file("s").read_text())["content"] == "both"
