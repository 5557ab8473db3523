"""`clew warm`: the process that has everything loaded for the next call."""

import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from . import output
from .app import App
from .options import json_option

if TYPE_CHECKING:
    from clew.core.kept_models import Kept

_PATIENCE_SECONDS = 5.0
_LOADING_SECONDS = 120.0
_TICK_SECONDS = 0.05


@dataclass(frozen=True)
class Status:
    """What is known of the warm process: nothing but `running` where there is none."""

    running: bool
    pid: int | None = None
    seconds: float | None = None
    served: int | None = None
    under_way: int | None = None
    refused: int | None = None
    why: str | None = None
    """Why the last one was refused."""
    memory: int | None = None
    socket: str | None = None

    @property
    def told(self) -> str:
        """What it is, in words."""
        if not self.running:
            return "no warm process"
        megabytes = (self.memory or 0) / 1e6
        why = f" (last: {self.why})" if self.why else ""
        return (
            f"process {self.pid}, for {self.seconds:.0f} s, {megabytes:.0f} MB; calls served: "
            f"{self.served}, under way: {self.under_way}, refused: {self.refused}{why}"
        )


@click.group("warm")
def command() -> None:
    """Look at, start and stop the processes that make later calls begin at once.

    After a call of a model, `run` and `continue` leave a process behind that has the model library
    loaded, and one that has the embedded model loaded, if they used that. They belong to you and
    this installation, serve the next calls, and leave after ten minutes without one. CLEW_WARM=0,
    or warm = false in the configuration, does without them; so do CI jobs, unless CLEW_WARM=1.

    \b
    Example:
      clew warm status
    """


@command.command("status")
@json_option("Print it as JSON.")
def status(*, as_json: bool) -> None:
    """Show whether there is one, how many calls it has made, and its memory; and which embedded
    model is kept loaded.

    \b
    Example:
      clew warm status --json | jq .served
    """
    from clew.core.kept_models import kept

    found, models = look(), kept()
    if as_json:
        output.record({**asdict(found), "models": [asdict(model) for model in models]})
    else:
        output.answer("\n".join([found.told, *map(_told, models)]))


@command.command("start")
@click.option("--idle", type=click.FloatRange(min=0), default=600.0, hidden=True, help="Seconds.")
@click.pass_obj
def start(app: App, *, idle: float) -> None:
    """Start one now, and wait until it can make calls.

    \b
    Example:
      clew warm start
    """
    from clew.core.errors import StepFailed, UsageError

    from .warm_place import socket_path
    from .warm_start import is_coming
    from .warm_start import start as start_one

    path = socket_path(make=True)
    if path is None:
        raise UsageError(
            "there is no folder for a warm process that only you can use",
            hint="it would be $XDG_RUNTIME_DIR/clew, or one in /tmp",
        )
    started = start_one(idle, again=True)
    end = time.monotonic() + _LOADING_SECONDS
    while not look().running:
        if time.monotonic() > end or not is_coming(path):
            raise StepFailed("the warm process did not come up")
        time.sleep(_TICK_SECONDS)
    app.note(f"{'started' if started else 'there is one'}: {look().told}")


@command.command("stop")
@click.pass_obj
def stop(app: App) -> None:
    """Stop it, and a kept model, and wait until they are gone: calls under way come to their end
    first.

    \b
    Example:
      clew warm stop
    """
    from clew.core import kept_models

    found, models = look(), kept_models.kept()
    pids = [*([found.pid] if found.pid is not None else []), *(model.pid for model in models)]
    with suppress(ProcessLookupError):
        ending = [os.pidfd_open(pid) for pid in pids]
        kept_models.stop()
        if found.pid is not None:
            os.kill(found.pid, signal.SIGTERM)
        for process in ending:
            _wait_for(process)
    app.note(found.told if found.pid is None else f"stopped: {found.told}")
    for model in models:
        app.note(f"stopped: {_told(model)}")


def _wait_for(process: int) -> None:
    """Wait until a process, by its descriptor, is gone."""
    gone = select.poll()
    gone.register(process, select.POLLIN)
    gone.poll()


def _told(model: "Kept") -> str:
    return f"process {model.pid} keeps {model.path} loaded, for {model.idle:.0f} s unasked"


def look() -> Status:
    """Ask the warm process what it is."""
    import sys

    if sys.platform != "linux":
        return Status(running=False)
    from .warm_link import STATUS, Link
    from .warm_place import socket_path

    path = socket_path()
    if path is None:
        return Status(running=False)
    try:
        link = Link(path, _PATIENCE_SECONDS)
        link.ask((STATUS,))
        told = link.answer()
        link.close()
        return Status(
            running=True,
            pid=link.pid,
            memory=_memory(link.pid),
            socket=path,
            **told,
        )
    except (OSError, ValueError, EOFError, TypeError, KeyError):
        return Status(running=False)


def _memory(pid: int) -> int:
    """Return how many bytes of memory a process has."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
