"""Processes that clew leaves behind, so that the next call starts at once: whether they are wanted,
and the folder where they are found.

Only the command line leaves any: a Python program that uses clew's objects does not.
"""

import os
import stat

_NAME = "clew"


class Residents:
    """Whether this process may leave others behind, and use those that are there."""

    def __init__(self) -> None:
        self.wanted = False

    def want(self, setting: bool | None) -> None:
        """Decide it. None: yes, unless this looks like a CI job."""
        self.wanted = not os.environ.get("CI") if setting is None else setting


RESIDENTS = Residents()


def folder(*, make: bool = False) -> str | None:
    """Return the folder of this user's processes; None where there is none that nobody else can
    reach into.

    It is `$XDG_RUNTIME_DIR/clew`, else `/tmp/clew-UID`.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_ours(runtime):
        path = os.path.join(runtime, _NAME)
    else:
        path = f"/tmp/{_NAME}-{os.getuid()}"  # it counts only where it is ours
    if make:
        _make(path)
    return path if _is_ours(path) else None


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except OSError:
        return  # it is there, or not to be had: who looks at it sees


def _is_ours(path: str) -> bool:
    """Tell whether this is a folder, no link, that only this user can use."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return ours and stat.S_IMODE(found.st_mode) == 0o700
