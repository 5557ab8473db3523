"""Writes docs/cli.md, the help text of every command; with --check it only compares."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from clew.cli.main import cli

PAGE = Path(__file__).resolve().with_name("cli.md")
HEAD = """\
# Every command and option

`make docs` writes this page from the commands' `--help`. For a guide by task see
[commands.md](commands.md).
"""


def page() -> str:
    """Return the page as it has to be."""
    sections = (f"\n## {' '.join(path)}\n\n```text\n{shown(path)}```\n" for path in paths(cli))
    return HEAD + "".join(sections)


def paths(command: click.Command, above: tuple[str, ...] = ("clew",)) -> Iterator[tuple[str, ...]]:
    """Yield the words that call each command, those of a group before those in it."""
    yield above
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from paths(below, (*above, name))


def shown(path: tuple[str, ...]) -> str:
    """Return a command's help as a terminal of 80 columns shows it."""
    runner = CliRunner(env={"COLUMNS": "80"})
    result = runner.invoke(cli, [*path[1:], "--help"], prog_name=path[0], catch_exceptions=False)
    return "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())


def main(arguments: list[str]) -> int:
    """Write the page, or tell whether it is up to date."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/cli.md is not what --help says; `make docs` writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
