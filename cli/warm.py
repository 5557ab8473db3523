"""`clew warm`: the process that has everything loaded for the next call."""

import os
import select
import time
from dataclasses import asdict, dataclass

import click

from . import output
from .app import App
from .options import json_option

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
    """Look at, start and stop the process that makes later calls begin at once.

    After a call of a model, `run` and `continue` leave a process behind that has the model library
    loaded. It belongs to you and this installation, makes the next calls, and leaves after ten
    minutes without one. CLEW_WARM=0, or warm = false in the configuration, does without it; so do
    CI jobs, unless CLEW_WARM=1.

    \b
    Example:
      clew warm status
    """


@command.command("status")
@json_option("Print it as JSON.")
def status(*, as_json: bool) -> None:
    """Show whether there is one, how many calls it has made, and its memory.

    \b
    Example:
      clew warm status --json | jq .served
    """
    found = look()
    if as_json:
        output.record(asdict(found))
    else:
        output.answer(found.told)


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
    from .warm_start import start as start_one

    if socket_path(make=True) is None:
        raise UsageError(
            "there is no folder for a warm process that only you can use",
            hint="it would be $XDG_RUNTIME_DIR/clew, or one in /tmp",
        )
    started = start_one(idle)
    end = time.monotonic() + _LOADING_SECONDS
    while not look().running:
        if time.monotonic() > end:
            raise StepFailed("the warm process did not come up")
        time.sleep(_TICK_SECONDS)
    app.note(f"{'started' if started else 'there is one'}: {look().told}")


@command.command("stop")
@click.pass_obj
def stop(app: App) -> None:
    """Stop it, and wait until it is gone: calls under way come to their end first.

    \b
    Example:
      clew warm stop
    """
    import signal

    found = look()
    if found.pid is None:
        app.note(found.told)
        return
    try:
        process = os.pidfd_open(found.pid)
        os.kill(found.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    gone = select.poll()
    gone.register(process, select.POLLIN)
    gone.poll()
    app.note(f"stopped: {found.told}")


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
