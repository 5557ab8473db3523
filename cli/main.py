"""The `clew` command: which commands there are, and the one place where errors end."""

import _signal as signals  # type: ignore[import-not-found]  # `signal` makes enums
import errno
import os
import re
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import click

from clew.core.errors import Cancelled, ClewError, StoreError, UsageError
from clew.core.version import VERSION

from . import output
from .app import App

_COMMANDS = {
    "run": ("run", "Ask a model, in a new session or a named one."),
    "continue": ("continue_", "Go on with a session, its history included."),
    "history": ("history", "Show what was said in a session."),
    "state": ("state", "Read and change a session's state."),
    "sessions": ("sessions", "List, show, find, name, summarize, check and repair sessions."),
    "cancel": ("cancel", "Stop a run that is under way."),
    "metrics": ("metrics", "Show tokens, cost and time."),
    "agents": ("agents", "List, show and check agents' definitions."),
    "tools": ("tools", "List, show and try tools."),
    "models": ("models", "List models; install the embedded one."),
    "config": ("config", "Show settings; trust a folder's."),
    "schema": ("schema", "Print the JSON Schema of lines or events."),
    "warm": ("warm", "Show, start and stop the process that makes calls begin at once."),
    "doctor": ("doctor", "Check that clew works here."),
}
"""Each command's module, and what the list of all commands says of it."""


class LazyGroup(click.Group):
    """Loads a command's module only when that command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands, the four that matter first."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if there is no such one."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f".{_COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a slip gets the nearest names as a hint."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            raise UsageError(f"no command {name!r}", hint=_nearest(name))
        return super().resolve_command(ctx, args)


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, _COMMANDS, 2)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return f'to ask a model: clew run "{name} …"; for all commands: clew --help'


@click.group(
    cls=LazyGroup,
    subcommand_metavar="COMMAND [ARGS]...",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="clew", message="%(prog)s %(version)s")
@click.option("--home", metavar="DIR", help="Where clew keeps its data.  [env: CLEW_HOME]")
@click.option(
    "--store",
    metavar="URL",
    help="Where sessions are kept: jsonl:DIR (default: the home) or memory:.  [env: CLEW_STORE]",
)
@click.option("--trust", is_flag=True, help="Use this folder's .clew for this one call.")
@click.pass_context
def cli(ctx: click.Context, home: str | None, store: str | None, trust: bool) -> None:
    """Durable conversations with language models, for your shell.

    A session ties runs together: each run is one message and its answer, stored as one line of
    JSON in the session's own file. Start with `run`, go on with `continue`, look back with
    `history`, and keep what scripts need to remember in `state`.

    \b
    Examples:
      clew run "Name three rivers in France."
      clew continue "Which is the longest?"
      git diff | clew run -q "Write a commit message for this diff."
      tail -n 1 "$(clew sessions path)" | jq -r .content
    """
    ctx.obj = App(home=home, store_url=store, trust_once=trust)
    if ctx.invoked_subcommand is None:
        output.answer(ctx.get_help())


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Every error ends here, as one line."""
    wants_json = _wants_json(arguments)
    try:
        code: Any = cli.main(list(arguments), prog_name="clew", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ClewError as error:
        return _fail(error, wants_json)
    except click.UsageError as error:
        return _fail(_usage(error), wants_json)
    except click.ClickException as error:
        return _fail(UsageError(error.format_message()), wants_json)
    except (click.Abort, KeyboardInterrupt):
        raise Cancelled(signals.SIGINT) from None
    except Cancelled:
        raise
    except BaseException as error:
        return _unexpected(error, wants_json)


def _fail(error: ClewError, wants_json: str | None) -> int:
    """Tell of an error before there was a run, and return its exit code."""
    from clew.core.clock import now

    output.complain(error)
    failed = {"status": "ERROR", "run_id": None, "error": error.record()}
    if wants_json == "json":
        output.record(failed)
    elif wants_json == "stream-json":
        where = {"parent_run_id": None, "session_id": None, "created_at": now()}
        output.record({"event": "RunError", **where, **failed})
    return error.exit_code


def _usage(error: click.UsageError) -> UsageError:
    """Return click's complaint as one of ours, with the hint that fits."""
    hint = f"`{error.ctx.command_path} --help` shows what is possible" if error.ctx else None
    if isinstance(error, click.NoSuchOption):
        return UsageError(f"no option {error.option_name!r}", hint=_other_option(error, hint))
    return UsageError(error.format_message().rstrip("."), hint=hint)


def _other_option(error: click.NoSuchOption, otherwise: str | None) -> str:
    if error.option_name in ("--home", "--store", "--trust"):
        return f"it stands before the command: clew {error.option_name} …"
    if error.option_name.split("=")[0] == "--resume":
        return "it belongs to continue: clew continue --resume"
    if error.possibilities:
        return "did you mean " + " or ".join(sorted(error.possibilities)) + "?"
    return f"if it belongs to the prompt, write -- before it; {otherwise}"


def _wants_json(arguments: Sequence[str]) -> str | None:
    """Return the JSON form that a command line asks for, also where it is otherwise wrong."""
    wanted = None
    words = [*arguments, ""]
    for word, following in pairwise(words):
        if word == "--":
            break
        if word == "--json":
            wanted = "json"
        format_ = re.sub("^-[qvy]+o", "-o", word)  # flags may stand before it: -qo json
        for value in ("text", "json", "stream-json"):
            if format_ in (f"-o{value}", f"--output-format={value}") or (
                format_ in ("-o", "--output-format") and following == value
            ):
                wanted = None if value == "text" else value
    return wanted


def _unexpected(error: BaseException, wants_json: str | None) -> int:
    if isinstance(error, SystemExit):
        return 0  # click met a closed pipe while it wrote a help text
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
        return _fail(StoreError(f"cannot write to stdout: {error.strerror}"), None)
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        gone = UsageError(
            "the folder that clew was started in is gone", hint="cd to one that exists"
        )
        return _fail(gone, wants_json)
    return _bug(error, wants_json)


def _is_nowhere() -> bool:
    """Tell whether this process is in a folder that has been removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _bug(error: BaseException, wants_json: str | None) -> int:
    """Put the traceback into a log file and say where it is."""
    import traceback

    from clew.core.clock import now
    from clew.core.text import redact

    from .app import log_file

    report = redact("".join(traceback.format_exception(error)))
    path = log_file(f"{now()} clew {VERSION}\n{report}")
    bug = ClewError(
        f"this is a bug in clew: {type(error).__name__}: {redact(str(error))}",
        hint=f"please report it with {path}" if path else "the log file could not be written",
    )
    bug.kind, bug.exit_code = "bug", 70
    return _fail(bug, wants_json)
