"""What a command loads, and what its help says."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from clew.cli.main import cli
from tests.conftest import CLEW, Clew

PROGRAM = """
import sys
before = set(sys.modules)
from clew.cli.main import main
code = main(sys.argv[1:])
sys.stderr.write("\\n" + " ".join(set(sys.modules) - before))
sys.exit(code)
"""
HEAVY = {"litellm", "openai", "asyncio", "rich", "pydantic", "filelock", "jsonschema", "yaml"}
MODEL = {"litellm", "openai", "pydantic", "yaml"}
NOT_TO_READ = {
    "dataclasses",  # each class costs as much as a module
    "glob",
    "hashlib",  # loads OpenSSL, as do random and secrets
    "random",
    "secrets",
    "signal",
    "socket",
    "tomllib",
    "traceback",
    "typing_extensions",
    "clew.cli.state_change",
    "clew.cli.summarize",
    "clew.core.approvals",
    "clew.core.tools",
}


def loaded(clew: Clew, *arguments: str) -> set[str]:
    """Return the modules that a successful call of clew has loaded at its end."""
    done = clew.inside(PROGRAM, *arguments)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("run", "--help"), ("history", "--help")],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(clew: Clew, arguments: tuple[str, ...]) -> None:
    assert loaded(clew, *arguments) & (HEAVY | {"clew.core.agent", "clew.stores"}) == set()


def test_the_list_of_commands_loads_none_of_them(clew: Clew) -> None:
    needed = loaded(clew, "--version")
    assert {name for name in loaded(clew, "--help") - needed if name.startswith("clew.")} == set()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Clew:
    """A world with a session `s` that has a line of each type."""
    clew = Clew(tmp_path_factory.mktemp("session"))
    clew("run", "-s", "s", "--name", "trip", "-m", clew.recording(("hi", "hello")), "hi")
    clew("state", "-s", "s", "set", "a=1")
    return clew


READS = [
    ("history",),
    ("history", "--json"),
    ("state",),
    ("state", "get", "a"),
    ("state", "log"),
    ("sessions", "list"),
    ("sessions", "path"),
    ("metrics", "--all"),
]


@pytest.mark.parametrize(
    "arguments", [*READS, ("sessions", "show", "@trip"), ("config",)], ids=" ".join
)
def test_reading_loads_nothing_heavy(session: Clew, arguments: tuple[str, ...]) -> None:
    assert loaded(session, *arguments) & HEAVY == set()


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_reading_loads_nothing_that_only_writing_needs(
    session: Clew, arguments: tuple[str, ...]
) -> None:
    assert loaded(session, *arguments) & NOT_TO_READ == set()


@pytest.mark.parametrize("option", ["--no-store", "--json", "--usage"])
def test_a_replayed_run_loads_no_model_library(clew: Clew, model: str, option: str) -> None:
    assert loaded(clew, "run", "-m", model, option, "hi") & MODEL == set()


def test_a_stored_run_loads_no_more_of_filelock_than_the_lock(clew: Clew, model: str) -> None:
    assert loaded(clew, "run", "-m", model, "hi") & {"filelock", "asyncio", "sqlite3"} == set()


def test_a_run_into_a_pipe_loads_nothing_that_draws_on_a_terminal(clew: Clew, model: str) -> None:
    assert "clew.cli.status" not in loaded(clew, "run", "-m", model, "hi")


def test_nothing_is_loaded_for_attachments_by_a_run_that_has_none(clew: Clew, model: str) -> None:
    fetching = {"clew.core.fetching", "urllib.request", "http.client"}
    assert loaded(clew, "run", "-m", model, "hi") & fetching == set()


def test_looking_for_agents_where_there_are_none_loads_nothing_heavy(clew: Clew) -> None:
    assert loaded(clew, "agents", "list") & HEAVY == set()


def test_a_change_of_the_state_loads_no_model_library(session: Clew) -> None:
    assert loaded(session, "state", "update", ".n += 1") & (MODEL | {"rich"}) == set()


def commands(command: click.Command = cli, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *path, name)


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        below = command.get_command(click.Context(command), name)
        assert below is not None
        command = below
    return command


every_command = pytest.mark.parametrize(
    "path", list(commands()), ids=lambda path: " ".join(path) or "clew"
)


@every_command
def test_every_help_has_an_example(clew: Clew, path: tuple[str, ...]) -> None:
    shown = clew(*path, "--help").out
    assert "Example:\n" in shown or "Examples:\n" in shown
    assert " ".join(("clew", *path)) in shown.split("Example")[1]


@every_command
def test_every_option_has_a_help_text(path: tuple[str, ...]) -> None:
    options = [param for param in command_of(path).params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@every_command
def test_help_is_also_minus_h(clew: Clew, path: tuple[str, ...]) -> None:
    assert clew(*path, "-h").out == clew(*path, "--help").out


def test_the_version_is_the_package_s(clew: Clew) -> None:
    from importlib.metadata import version

    assert clew("--version").out == f"clew {version('clew')}\n"


WARM = """
import os
import sys
before = set(sys.modules)
from clew.cli import entry, warm_client, warm_link, warm_place
entry.entry = lambda: sys.stdout.write(" ".join(set(sys.modules) - before))
exec(open(sys.argv[1]).read())
"""
THIN = {"_signal", "_socket", "array", "binascii", "gc", "marshal", "stat"}


def test_a_warm_call_loads_next_to_nothing_in_the_process_that_was_started(clew: Clew) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", WARM, str(CLEW)],
        env=clew.env | {"PYTHONPATH": packages(clew)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    foreign = {name for name in done.stdout.split() if not name.startswith("clew")}
    assert foreign <= THIN


VERSION = """
import sys
sys.argv[1:] = ["--version"]
from clew.cli.entry import entry
entry()
"""


def test_the_version_is_told_by_next_to_nothing(clew: Clew) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", "-c", VERSION],
        env=clew.env | {"PYTHONPATH": packages(clew)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "clew.cli.entry" in names
    assert names & {"re", "typing", "click", "clew.cli.main", "clew.core.errors"} == set()


def packages(clew: Clew) -> str:
    """Return a folder in which clew's three are found without what an editable install loads."""
    folder = clew.cwd.parent / "lib" / "clew"
    folder.mkdir(parents=True)
    for layer in ("cli", "core", "stores"):
        (folder / layer).symlink_to(Path(__file__).parents[2] / layer)
    return str(folder.parent)
