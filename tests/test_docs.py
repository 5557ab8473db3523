"""The pages tell the truth: what they show is run, what they list is compared with the code."""

import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import clew.core
from clew.cli.main import cli
from clew.core.errors import ClewError
from clew.core.records import StepRecord
from tests.conftest import Clew

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECORDING = ROOT / "docs" / "examples" / "recording.jsonl"

FENCE = re.compile(r"^```(\w+)( embedded)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGING = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d\.\d{3}Z)?"  # times
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ANY_ANSWER = "..."
WITHOUT_A_CLASS = {0: set(), 6: set(), 70: {"bug"}} | {n: {"cancelled"} for n in (129, 130, 143)}
ABSTRACT = {"error", "model"}  # kinds of the tree's inner classes


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    name: str
    text: str
    embedded: bool


@dataclass(frozen=True)
class Step:
    """A command of a console block, and what the page says it prints."""

    command: str
    output: list[str]


def blocks(language: str, *, embedded: bool = False) -> list[Block]:
    """The blocks of all pages in one language; those marked `embedded` need the real model."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = f"{page.relative_to(ROOT)}:{line}"
            if match[1] == language and bool(match[2]) is embedded:
                found.append(Block(name, match[3], embedded))
    return found


def steps(text: str) -> list[Step]:
    """Commands stand after `$ `, their further lines after `> `; all else is output."""
    found: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], []))
        elif line.startswith("> ") and not found[-1].output:
            found[-1] = Step(f"{found[-1].command}\n{line[2:]}", [])
        else:
            found[-1].output.append(line)
    return found


def fits(expected: list[str], printed: str) -> bool:
    """Whether `printed` is what a page shows: `...` stands for any text, alone for any lines."""
    pattern = ""
    for line in expected:
        parts = (re.escape(part) for part in CHANGING.sub("<changing>", line).split("..."))
        pattern += r"(?:.*\n)*?" if line == "..." else ".*".join(parts) + r"\n"
    return re.fullmatch(pattern, CHANGING.sub("<changing>", printed)) is not None


def play(world: Clew, commands: list[str]) -> list[tuple[str, int]]:
    """Type commands into a shell on a terminal of its own; return what each printed, and its
    status."""
    mark = "__s=$?; printf '\\036%s\\036' $__s; (exit $__s)\n"
    script = "".join(f"{command}\n{mark}" for command in commands)
    terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    done = subprocess.run(
        [sys.executable, "-c", terminal, "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=world.env | {"TERM": "dumb"},
        cwd=world.cwd,
        timeout=250,
        check=False,
    )
    parts = COLOUR.sub("", done.stdout.decode().replace("\r\n", "\n")).split("\x1e")
    pairs = zip(parts[0::2], parts[1::2], strict=False)
    return [(printed, int(status)) for printed, status in pairs]


def check(world: Clew, block: Block) -> None:
    """Run a console block; its output and its exit statuses have to be as the page says."""
    if "jq " in block.text and not shutil.which("jq"):
        pytest.skip("the block pipes into jq, which is not installed")
    wanted = steps(block.text)
    played = play(world, [step.command for step in wanted])
    assert len(played) == len(wanted), f"{block.name}: the shell ended early\n{played}"
    for step, then, (printed, status) in zip(wanted, [*wanted[1:], None], played, strict=True):
        shown = [ANY_ANSWER if block.embedded and is_answer(line) else line for line in step.output]
        assert fits(shown, printed), f"{block.name}: $ {step.command}\n{printed}"
        told = then is not None and "$?" in then.command
        assert status == 0 or told, f"{block.name}: $ {step.command} ended in {status}"


def is_answer(line: str) -> bool:
    """Whether a line may differ from machine to machine: it is in the recording as an answer."""
    return f'"content": "{line}"' in RECORDING.read_text(encoding="utf-8")


@pytest.fixture
def checkout(clew: Clew) -> Clew:
    """A reader in a checkout."""
    (clew.cwd / "docs").symlink_to(ROOT / "docs")
    return clew


@pytest.fixture
def reader(checkout: Clew) -> Clew:
    """A reader in a checkout, with the recording as the model."""
    checkout.env["CLEW_MODEL"] = f"replay:{RECORDING}"
    return checkout


def names(found: list[Block]) -> list[object]:
    """The blocks as parameters, each under its place."""
    return [pytest.param(block, id=block.name) for block in found]


@pytest.mark.parametrize("block", names(blocks("console")))
def test_a_console_block_prints_what_the_page_shows(reader: Clew, block: Block) -> None:
    check(reader, block)


@pytest.mark.slow
@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize("block", names(blocks("console", embedded=True)))
def test_a_console_block_on_the_embedded_model_differs_in_the_answers_at_most(
    embedded: Clew, block: Block
) -> None:
    check(embedded, block)


def run_python(world: Clew, block: Block) -> list[str]:
    """Run a block as a program; return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        capture_output=True,
        text=True,
        env=world.env,
        cwd=world.cwd,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("block", names(blocks("python")))
def test_a_python_block_prints_what_its_comments_say(reader: Clew, block: Block) -> None:
    told = [line.split("# prints ")[1] for line in block.text.splitlines() if "# prints " in line]
    assert run_python(reader, block) == told


@pytest.mark.slow
@pytest.mark.parametrize("block", names(blocks("python", embedded=True)))
def test_a_python_block_on_the_embedded_model_runs(embedded: Clew, block: Block) -> None:
    assert run_python(embedded, block)


def test_dots_on_a_page_stand_for_any_text_or_any_lines_and_nothing_else_does() -> None:
    assert fits(["a", "...", "b ... d"], "a\n1\n2\nb c d\n")
    assert fits(["2026-01-31 09:00"], "2026-11-22 20:57\n")
    assert not fits(["a"], "a\nb\n")
    assert not fits(["a", "b"], "a\n")
    assert not fits([], "a\n")


@pytest.mark.parametrize("text", ["$ echo a\nb\n", "$ echo a\n", "$ false\n", "$ exit\n$ true\n"])
def test_a_console_block_that_is_not_true_is_found_out(reader: Clew, text: str) -> None:
    with pytest.raises(AssertionError):
        check(reader, Block("page:1", text, embedded=False))


def test_cli_md_is_what_help_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def command_paths(command: click.Command, words: str = "clew") -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield words
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from command_paths(below, f"{words} {name}")


def test_every_command_is_mentioned_in_the_readme_or_the_guide() -> None:
    guide = README + (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = [path for path in command_paths(cli) if not re.search(rf"{path}\b", guide)]
    assert missing == []


def error_classes() -> set[type[ClewError]]:
    """Every class of the tree, also where a module adds one."""
    for module in pkgutil.iter_modules(clew.core.__path__):
        importlib.import_module(f"clew.core.{module.name}")
    found: set[type[ClewError]] = set()
    classes: list[type[ClewError]] = [ClewError]
    while classes:
        found.add(cls := classes.pop())
        classes += cls.__subclasses__()
    return found


def test_the_readme_lists_every_exit_code_with_its_kinds_of_error() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]+\| *([^|]*?) *\|$", README, re.MULTILINE)
    shown = {int(code): set(re.findall(r"`(\w+)`", kinds)) for code, kinds in rows}
    known: dict[int, set[str]] = {code: set(kinds) for code, kinds in WITHOUT_A_CLASS.items()}
    for cls in error_classes():
        if cls.__module__.startswith("clew.") and cls.kind not in ABSTRACT:
            known.setdefault(cls.exit_code, set()).add(cls.kind)
    assert shown == known


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        target
        for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for target in re.findall(
            r"(?:`|^|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert named - targets == set()


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_has_the_two_commands_that_set_everything_up(command: str) -> None:
    assert re.search(rf"^{command}( |$)", README, re.MULTILINE)


def test_every_link_between_pages_leads_to_a_file() -> None:
    broken = [
        f"{page.name}: {link}"
        for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []


def fields_of(section: str) -> list[str]:
    page = (ROOT / "docs" / "file-format.md").read_text(encoding="utf-8")
    text = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


@pytest.fixture
def session(clew: Clew, model: str) -> list[dict[str, object]]:
    """The lines of a session that has one of each type, the last one told by a repair."""
    clew("run", "-m", model, "-s", "s", "hi")
    clew("state", "set", "-s", "s", "a=1")
    with clew.session_file("s").open("a") as file:
        file.write("junk\n")
    clew("sessions", "repair", "s")
    return clew.stored("s")


@pytest.mark.parametrize(
    ("number", "section"),
    [(0, "A run"), (1, "A change of the state"), (2, "A change of the session")],
)
def test_the_format_page_lists_every_field_of_a_line_in_its_order(
    session: list[dict[str, object]], number: int, section: str
) -> None:
    around = fields_of("Every line begins with"), fields_of("Every line ends with")
    assert [*around[0], *fields_of(section), *around[1]] == list(session[number])


def test_the_format_page_lists_every_field_of_what_a_model_is_asked_about_a_session(
    clew: Clew, model: str
) -> None:
    clew("run", "-m", model, "-s", "s", "hi")
    clew("sessions", "rename", "s", "--auto", "-m", model)
    around = fields_of("Every line begins with"), fields_of("Every line ends with")
    own = fields_of("What a model is asked about a session")
    assert [*around[0], *own, *around[1]] == list(clew.stored("s")[-1])


def test_the_format_page_lists_every_field_that_only_a_team_has(reader: Clew) -> None:
    team = ROOT / "docs" / "examples" / "travellers.yaml"
    reader("run", "--team", str(team), "-s", "s", "Where shall we go?")
    member, *_, last = reader.stored("s")
    assert [field for field in last if field not in member] == fields_of("A team's run")


def test_the_format_page_lists_every_field_of_a_step() -> None:
    assert list(StepRecord.__annotations__) == fields_of("A step of a workflow")


def test_the_format_page_names_every_total_of_a_run(session: list[dict[str, object]]) -> None:
    page = (ROOT / "docs" / "file-format.md").read_text(encoding="utf-8")
    metrics = session[0]["metrics"]
    assert isinstance(metrics, dict)
    assert [name for name in metrics if f"`{name}`" not in page] == []
