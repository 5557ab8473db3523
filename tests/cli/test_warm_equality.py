"""A call that a warm process makes gives what a call without one gives: bytes, codes, lines."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import CLEW, Clew, Result
from tests.paused import call, plays
from tests.provider import Provider
from tests.warmth import OF_ITS_OWN, Warmth, equal

pytestmark = OF_ITS_OWN


@pytest.fixture
def said() -> Iterator[Provider]:
    with Provider() as server:
        yield server


def reached(server: Provider) -> dict[str, str]:
    return {"OPENAI_API_BASE": server.url, "OPENAI_API_KEY": "sk-CANARY-0123456789"}


def replayed(clew: Clew) -> str:
    return clew.recording(("hi", "hello"), ("one", "answer one"))


M = ("-m", "openai/test-model")
RECORDED: dict[str, Callable[[Clew], object]] = {
    "run": lambda clew: clew("run", "-m", replayed(clew), "hi"),
    "options before the command": lambda clew: clew(
        "--home", "elsewhere", "--trust", "run", "-m", replayed(clew), "hi"
    ),
    "json": lambda clew: clew("run", "-m", replayed(clew), "--json", "hi"),
    "stream-json": lambda clew: clew("run", "-m", replayed(clew), "-o", "stream-json", "hi"),
    "no such option": lambda clew: clew("run", "--nothing", "hi", code=2),
    "help": lambda clew: clew("continue", "--help"),
    "no such session": lambda clew: clew("continue", "-s", "nowhere", "hi", code=3),
    "no session yet": lambda clew: clew("continue", "hi", code=3),
    "no such model": lambda clew: clew("run", "-m", "nowhere/x", "hi", code=3),
    "no prompt": lambda clew: clew("run", "-m", replayed(clew), code=2),
    "bad settings": lambda clew: clew("run", "hi", env={"CLEW_WAIT": "soon"}, code=2),
    "a prompt from a pipe": lambda clew: clew("run", "-m", replayed(clew), stdin="hi\n"),
    "much standard input": lambda clew: clew(
        "run", "-m", clew.recording(("x" * 3_000_000, "much")), stdin="x" * 3_000_000
    ),
    "an answer in a file": lambda clew: (
        clew("run", "-m", replayed(clew), "-O", "out.txt", "hi"),
        (clew.cwd / "out.txt").read_text(),
    ),
    "words that are not UTF-8": lambda clew: clew("run", "-m", replayed(clew), b"\xff", code=None),
}


@pytest.mark.parametrize("case", RECORDED)
def test_a_recorded_answer_comes_as_without_a_warm_process(
    warmth: Warmth, tmp_path: Path, case: str
) -> None:
    equal(warmth, tmp_path, RECORDED[case])


ASKED: dict[str, tuple[Callable[[Provider], None], Callable[[Clew], object], int]] = {
    "text": (lambda p: p.answer("hello"), lambda clew: clew("run", *M, "hi"), 1),
    "a stream": (
        lambda p: p.answer("one two three"),
        lambda clew: clew("run", *M, "--stream", "hi"),
        1,
    ),
    "no stream": (
        lambda p: p.answer("one two"),
        lambda clew: clew("run", *M, "--no-stream", "hi"),
        1,
    ),
    "401": (lambda p: p.answer(status=401), lambda clew: clew("run", *M, "hi", code=77), 1),
    "429": (
        lambda p: p.answer(status=429),
        lambda clew: clew("run", *M, "--retries", "0", "hi", code=75),
        1,
    ),
    "500": (
        lambda p: p.answer(status=500),
        lambda clew: clew("run", *M, "--retries", "0", "hi", code=69),
        1,
    ),
    "a cut stream": (
        lambda p: p.answer("one two three four", fault="eof_mid"),
        lambda clew: clew("run", *M, "--json", "hi", code=69),
        1,
    ),
    "a schema": (
        lambda p: p.answer('{"age": 3}'),
        lambda clew: clew("run", *M, "--schema", "age int", "hi"),
        1,
    ),
    "a conversation": (
        lambda p: p.answer("one"),
        lambda clew: [clew("run", "-s", "s", *M, "a"), clew("continue", "-s", "s", "b")],
        2,
    ),
    "a time limit": (
        lambda p: p.answer(fault="hang"),
        lambda clew: clew("run", *M, "--timeout", "1", "hi", code=5),
        1,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ASKED)
def test_a_provider_s_answer_comes_as_without_a_warm_process(
    warmth: Warmth, tmp_path: Path, said: Provider, case: str
) -> None:
    answers, script, calls = ASKED[case]

    def play(clew: Clew) -> object:
        answers(said)
        return script(clew)

    equal(warmth, tmp_path, play, calls=calls, env=reached(said))
    sent = said.requests
    half = len(sent) // 2
    of_a_process = ("x-stainless-read-timeout",)
    assert [request.body for request in sent[:half]] == [request.body for request in sent[half:]]
    assert [without(request.headers, of_a_process) for request in sent[:half]] == [
        without(request.headers, of_a_process) for request in sent[half:]
    ]


def without(headers: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


TOOL = "{name: look, description: d, run: [sh, -c, 'umask; pwd; env | sort; ulimit -a; cat']}"


@pytest.mark.slow
def test_a_tool_runs_as_without_a_warm_process(
    warmth: Warmth, tmp_path: Path, said: Provider
) -> None:
    def play(clew: Clew) -> object:
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        said.answer(tool_calls=[call])
        said.answer("done")
        clew.env["XDG_RUNTIME_DIR"] = str(warmth.folder)
        ran = clew("run", "-s", "s", *M, "--tool", TOOL, "hi")
        result: str = clew.stored("s")[0]["tools"][0]["result"]
        assert "OPENAI_API_BASE" in result
        clew.session_file("s").unlink()
        return ran, [line for line in result.splitlines() if not line.startswith("CLEW_WARM")]

    equal(warmth, tmp_path, play, env=reached(said))


def piped(clew: Clew, script: str) -> tuple[int, str, str]:
    """Run a script of bash in which $MODEL answers `hi`; return its code and output."""
    clew.env["MODEL"] = replayed(clew)
    done = clew.shell(f"set -o pipefail; {script}", code=None)
    return done.code, done.out, done.err


SHELL = {
    "closed stdout": "clew run -m $MODEL hi >&-",
    "closed stderr": "clew run -m $MODEL hi 2>&-",
    "closed stdin": "clew run -m $MODEL hi <&-",
    "all closed": "clew run -m $MODEL hi <&- >&- 2>&-",
    "a reader that leaves": "clew run -m $MODEL -o stream-json hi | head -1",
    "a reader that has left": "clew run -m $MODEL hi | :",
    "a full disk": "clew run -m $MODEL hi > /dev/full",
    "a full disk for complaints": "clew run -m $MODEL hi 2> /dev/full",
    "an umask": "umask 0000; clew run -m $MODEL -O o hi; stat -c %a o; umask 0777; "
    "clew run -m $MODEL -O p hi; stat -c %a p",
    "a folder below": "mkdir a; cd a; clew run -m $MODEL -f ../f hi; echo $?",
    "a removed folder": "mkdir a; cd a; rmdir ../a; clew run -m $MODEL hi",
    "a removed folder, and a path": "mkdir a; cd a; rmdir ../a; clew run -m $MODEL -f x hi",
    "a file as stdin": "echo hi > f; clew run -m $MODEL < f; clew run -m $MODEL hi < f",
    "one file for both": "clew run -m $MODEL hi >f 2>&1; clew run -m $MODEL hi >>f 2>&1; cat f",
}


@pytest.mark.parametrize("case", SHELL)
def test_pipes_files_and_folders_are_used_as_without_a_warm_process(
    warmth: Warmth, tmp_path: Path, case: str
) -> None:
    script = SHELL[case]
    equal(warmth, tmp_path, lambda clew: piped(clew, script), calls=script.count("clew run"))


OWN = {
    "a command's output as a file": "clew run -m $MODEL -f <(echo x) hi",
    "a command's input as a file": "clew run -m $MODEL -O >(cat >&2) hi 2>&1 | cat",
    "a descriptor": "clew run -m $MODEL -f /dev/fd/7 hi 7<<<x",
    "a descriptor in a variable": "CLEW_MODEL=replay:/dev/fd/7 clew run hi 7<${MODEL#replay:}",
    "the terminal that there is none of": "clew run -m $MODEL -f /dev/tty hi",
}


@pytest.mark.parametrize("case", OWN)
def test_files_that_only_the_caller_has_are_used_as_without_a_warm_process(
    warmth: Warmth, tmp_path: Path, case: str
) -> None:
    equal(warmth, tmp_path, lambda clew: piped(clew, OWN[case]), calls=0)


def test_a_session_is_chosen_and_locked_as_without_a_warm_process(
    warmth: Warmth, tmp_path: Path
) -> None:
    def play(clew: Clew) -> list[Result]:
        model = replayed(clew)
        return [
            clew("run", "-s", "a", "-m", model, "hi"),
            clew("continue", "one", env={"CLEW_SESSION": "a"}),
            clew("continue", "--dry-run", "one"),
            clew("run", "--run-id", "x", "-m", model, "hi"),
            clew("run", "--run-id", "x", "-m", model, "hi"),
            clew("history"),
        ]

    equal(warmth, tmp_path, play, calls=5)


def test_a_python_function_is_found_in_the_caller_s_folder(
    warmth: Warmth, tmp_path: Path, said: Provider
) -> None:
    def play(clew: Clew) -> object:
        program = "import os\ndef look() -> str:\n    'Look.'\n    return os.environ['SEEN']\n"
        (clew.cwd / "seer.py").write_text(program)
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        said.answer(tool_calls=[call])
        said.answer("done")
        return clew("run", "-s", "s", *M, "--tool", "seer:look", "hi", env={"SEEN": "me"})

    equal(warmth, tmp_path, play, env=reached(said))


ASKS = """
import os

def where() -> str:
    "Tell where this is."
    names = ("TERM", "COLUMNS", "NO_COLOR", "TMUX", "SSH_TTY", "PWD", "SHLVL", "XDG_DATA_DIRS")
    return str([*map(os.environ.get, names)])
"""


def test_terminals_are_the_caller_s(warmth: Warmth, tmp_path: Path) -> None:
    def script(clew: Clew) -> Result:
        (clew.cwd / "asks.py").write_text(ASKS)
        model = plays(clew, [call("c1", "where")])
        return clew("run", "--json", "-s", "s", "-m", model, "-t", "asks:where", "go")

    env = {"TERM": "vt100", "COLUMNS": "33", "NO_COLOR": "1", "XDG_DATA_DIRS": "/x"}
    env |= {"TMUX": "/tmp/t,1,0", "SSH_TTY": "/dev/pts/9", "PWD": "/", "SHLVL": "9"}
    env |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    told = equal(warmth, tmp_path, script, env=env).json["tools"][0]["result"]
    assert all(repr(env[name]) in told for name in ("TERM", "COLUMNS", "NO_COLOR", "SHLVL"))


def test_commands_are_found_where_the_caller_would_find_them(
    warmth: Warmth, tmp_path: Path
) -> None:
    def play(clew: Clew) -> Result:
        command = clew.cwd / "bin" / "mine"
        command.parent.mkdir()
        command.write_text("#!/bin/sh\necho made\n")
        command.chmod(0o755)
        (clew.cwd / "flow.yaml").write_text("kind: workflow\nsteps:\n- run: [mine]\n")
        path = f"{command.parent}:{clew.env['PATH']}"
        return clew("run", "--workflow", "flow.yaml", "go", env={"PATH": path})

    assert equal(warmth, tmp_path, play).out == "made\n"


def test_what_other_descriptors_the_caller_has_is_not_seen(warmth: Warmth, clew: Clew) -> None:
    warmth.join(clew)
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [CLEW, "run", "-m", replayed(clew), "hi"],
        env=clew.env,
        cwd=clew.cwd,
        pass_fds=(theirs,),
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)
    with open(ours, "rb") as reader:
        assert reader.read() == b""
    assert process.wait(60) == 0
