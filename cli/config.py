"""`clew config`: which settings hold, and where they come from."""

import os
from typing import Any

import click

from clew.core.errors import ConfigError, StoreError, UsageError
from clew.core.models import DEFAULT_MODEL

from . import output
from .app import App
from .options import json_option
from .settings import KEYS
from .trust import (
    AGENTS,
    CONFIG,
    config_folder,
    nearest_folder,
    parts_of,
    trust_file,
    trusted_folders,
    why_unsafe,
)


class _Group(click.Group):
    """Tells, below its options, what each setting is for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Settings"):
            formatter.write_dl([(name, key.help) for name, key in KEYS.items()])


@click.group(
    "config",
    cls=_Group,
    invoke_without_command=True,
)
@json_option()
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Print each setting with its value and where it comes from.

    The order: flag, environment (CLEW_MODEL, …), the nearest folder's .clew/config.toml if that
    folder is trusted, your own config.toml. A folder may not set home, store or user.

    \b
    Examples:
      clew config
      clew config --json | jq -r 'select(.name == "model").value'
      clew config trust
    """
    if ctx.invoked_subcommand is not None:
        return
    app: App = ctx.obj
    for name in KEYS:
        setting = app.settings.look_up(name)
        if name == "store" and setting.value is None:
            setting = type(setting)(f"jsonl:{app.home}", setting.origin)
        if name == "model" and setting.value is None:
            setting = type(setting)(DEFAULT_MODEL, setting.origin)
        if as_json:
            output.record({"name": name, "value": setting.value, "origin": setting.origin})
        else:
            output.result(output.shown(f"{name:9} {_text(setting.value)}  ({setting.origin})\n"))


def _text(value: Any) -> str:
    """Return a value as it would be given to clew."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@command.command("trust", short_help="Let a folder's .clew count.")
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--remove", is_flag=True, help="Trust it no longer.")
def trust(*, folder: str | None, remove: bool) -> None:
    """Let a folder's .clew count, settings and agents: that of DIR, or the nearest one.

    It is remembered in your own configuration. Look at the files first: they choose your model
    and limits, and the tools of an agent run commands.

    \b
    Example:
      clew config trust ~/work/project
    """
    nearest = nearest_folder(CONFIG, AGENTS)
    path = os.path.realpath(os.path.join(folder, ".clew")) if folder else nearest
    if path is None or not os.path.isdir(path):
        raise UsageError(
            f"there is no .clew folder{f' in {folder}' if folder else ' here, or above'}",
            hint="a folder's settings are in .clew/config.toml, its agents in .clew/agents",
        )
    reason = None if remove else why_unsafe(path, parts_of(path))
    if reason is not None:
        raise ConfigError(f"{path} cannot be trusted: {reason}")
    folders = trusted_folders() - {path} if remove else trusted_folders() | {path}
    _remember(folders)
    output.note(f"{path} is {'no longer trusted' if remove else 'trusted'}")


def _remember(folders: set[str]) -> None:
    from clew.stores.files import replace_file

    text = "".join(f"{path}\n" for path in sorted(folders))
    try:
        os.makedirs(config_folder(), mode=0o700, exist_ok=True)
        replace_file(trust_file(), text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StoreError(f"cannot write {trust_file()}: {error.strerror}") from None
