"""Which terminal this is."""

from .caller import CALLER


def this_terminal() -> str | None:
    """Return a text that tells this terminal session from all others; None outside of one.

    Process numbers are used again, so the start of the session's first process belongs to it
    where the system tells.
    """
    leader = CALLER.leader()
    return None if leader is None else f"{leader}-{_started(leader)}"


def _started(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
