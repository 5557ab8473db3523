"""Which process makes a run, so that another one can stop it by a signal."""

import os
from contextlib import suppress

from .typed import TypedDict


class Process(TypedDict):
    """A process that stores its run when SIGTERM comes; `place` is where its pid means just it."""

    pid: int
    host: str
    place: str


_acts_for: list[int] = []


def act_for(pid: int) -> None:
    """Be known by the number of another process: this one makes its run, and ends with it."""
    _acts_for[:] = [pid]


def known_pid() -> int:
    """Return the number by which those who started this process know it."""
    return _acts_for[0] if _acts_for else os.getpid()


def host_name() -> str:
    """Return this machine's name, as `socket.gethostname` does, without loading `socket`."""
    return os.uname().nodename


def this_process() -> Process:
    """Return this process."""
    place = ""
    with suppress(OSError):
        place = os.readlink("/proc/self/ns/pid")
    return {"pid": known_pid(), "host": host_name(), "place": place}


def is_near(process: Process) -> bool:
    """Tell whether a signal from here reaches just this process."""
    here = this_process()
    return (process["host"], process["place"]) == (here["host"], here["place"])
