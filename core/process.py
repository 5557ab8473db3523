"""Which process makes a run, so that another one can stop it by a signal."""

import os
import socket
from contextlib import suppress

from .typed import TypedDict


class Process(TypedDict):
    """A process that stores its run when SIGTERM comes; `place` is where its pid means just it."""

    pid: int
    host: str
    place: str


def this_process() -> Process:
    """Return this process."""
    place = ""
    with suppress(OSError):
        place = os.readlink("/proc/self/ns/pid")
    return {"pid": os.getpid(), "host": socket.gethostname(), "place": place}


def is_near(process: Process) -> bool:
    """Tell whether a signal from here reaches just this process."""
    here = this_process()
    return (process["host"], process["place"]) == (here["host"], here["place"])
