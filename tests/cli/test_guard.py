"""How errors end: one line, a hint, an exit code; never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Clew, Result

SECRET = "sk-CANARY-0123456789"
BUG = f"""
import sys
from clew.cli import history

def broken(*_):
    raise RuntimeError("it broke with {SECRET}")

history._limit = broken
from clew.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def run(clew: Clew, model: str) -> Clew:
    """A world with a session, and a key in the environment."""
    clew("run", "-s", "s", "-m", model, "hi")
    clew.env["OPENAI_API_KEY"] = SECRET
    return clew


def with_bug(clew: Clew, *arguments: str) -> Result:
    """Run `clew history` in a clew of which a part is broken."""
    done = subprocess.run(
        [sys.executable, "-c", BUG, "history", "-s", "s", *arguments],
        env=clew.env,
        cwd=clew.cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def log(clew: Clew) -> Path:
    (path,) = (clew.home / "logs").iterdir()
    return path


def test_a_bug_is_one_line_with_a_hint_and_exit_70(run: Clew) -> None:
    result = with_bug(run)
    assert result.code == 70
    first, hint = result.err.splitlines()
    assert first.startswith("clew: this is a bug in clew: RuntimeError: it broke")
    assert hint == f"  hint: please report it with {log(run)}"


def test_the_log_of_a_bug_has_the_traceback_and_is_private(run: Clew) -> None:
    with_bug(run)
    assert "Traceback" in log(run).read_text()
    assert "in broken" in log(run).read_text()
    assert log(run).stat().st_mode & 0o777 == 0o600
    assert log(run).parent.stat().st_mode & 0o777 == 0o700


def test_no_secret_of_the_environment_is_in_the_log_or_on_the_terminal(run: Clew) -> None:
    result = with_bug(run)
    assert SECRET not in result.err
    assert SECRET not in log(run).read_text()


def test_a_bug_with_json_is_an_error_object(run: Clew) -> None:
    failure = with_bug(run, "--json").json
    assert (failure["status"], failure["run_id"]) == ("ERROR", None)
    assert (failure["error"]["kind"], failure["error"]["exit_code"]) == ("bug", 70)
    assert SECRET not in str(failure)


def test_a_bug_whose_log_cannot_be_written_is_told_all_the_same(run: Clew) -> None:
    (run.home / "logs").write_text("in the way")
    result = with_bug(run)
    assert result.code == 70
    assert "hint: the log file could not be written" in result.err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("histroy",), "did you mean history?"),
        (("Name", "three", "rivers"), "clew run"),
        (("history", "--jsn"), "did you mean --json"),
        (("history", "--zzzz"), "clew history --help"),
        (("run", "--resume", "x"), "clew continue --resume"),
        (("history", "--home", "x"), "before the command: clew --home"),
        (("history", "extra"), "clew history --help"),
        (("history", "--status", "fine"), "clew history --help"),
        (("state", "get"), "clew state get --help"),
        (("state", "set"), "clew state set --help"),
        (("sessions", "lst"), "clew sessions --help"),
        (("sessions",), "clew sessions --help"),
        (("models",), "clew models --help"),
        (("metrics", "--by", "week"), "clew metrics --help"),
        (("history", "-s", ""), "is a variable unset?"),
        (("sessions", "list", "-u", ""), "is a variable unset?"),
        (("--zzzz",), "clew --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_slip_is_one_line_with_a_hint_and_exit_2(
    clew: Clew, arguments: tuple[str, ...], hint: str
) -> None:
    result = clew(*arguments, code=2)
    complaint, told = result.err.splitlines()
    assert complaint.startswith("clew: ")
    assert told.startswith("  hint: ")
    assert hint in told
    assert result.out == ""


def test_an_error_with_json_is_an_object_on_stdout_too(clew: Clew) -> None:
    result = clew("history", "-s", "nope", "--json", code=3)
    error = result.json["error"]
    assert (result.json["status"], result.json["run_id"]) == ("ERROR", None)
    assert (error["kind"], error["exit_code"], error["retryable"]) == ("not_found", 3, False)
    assert error["message"] in result.err
    assert error["hint"] in result.err


def test_a_slip_with_json_is_an_object_on_stdout_too(clew: Clew) -> None:
    assert clew("history", "--json", "--nope", code=2).json["error"]["kind"] == "usage"


def test_after_two_dashes_json_is_no_option(clew: Clew) -> None:
    assert clew("sessions", "show", "--", "--json", code=2).out == ""


def test_control_characters_of_an_argument_do_not_reach_the_terminal(clew: Clew) -> None:
    assert "\x1b" not in clew("history", "-s", "\x1b[31mred", code=2).err


def test_without_arguments_clew_shows_its_help(clew: Clew) -> None:
    result = clew(code=None)
    assert "Usage: clew [OPTIONS] COMMAND [ARGS]...\n" in result.out + result.err


def test_a_secret_among_the_words_is_not_repeated(run: Clew) -> None:
    result = run(SECRET, code=2)
    assert "[redacted]" in result.err
    assert SECRET not in result.err


def test_control_characters_of_a_hint_do_not_reach_the_terminal(clew: Clew) -> None:
    assert "\x1b" not in clew("\x1b[31mred", code=2).err


@pytest.mark.parametrize(
    "command",
    ["run -O answer.txt", "run -t tool.yaml", "tools list -t tool.yaml", "config trust ."],
)
def test_a_folder_that_is_gone_is_one_line_and_exit_2(clew: Clew, model: str, command: str) -> None:
    script = f"mkdir gone; cd gone; rmdir ../gone; clew {command}"
    if command.startswith("run"):
        script += f" -q -m {model} hi"
    result = clew.shell(script, code=2)
    assert result.err.splitlines()[0] == "clew: the folder that clew was started in is gone"
    assert not clew.home.exists()
