"""Shows that a suite has teeth: takes a guard out of every clew of a world.

    without(clew, "fsync", "lock")

Python imports `sitecustomize` at its start; the one made here takes the guards out of the running
process. clew itself has no such switch.
"""

from tests.conftest import Clew

GUARDS = {
    # what is written is on disk before it is acknowledged
    "fsync": "import os; os.fsync = lambda fd: None",
    # a torn end is moved aside before the next write
    "heal": "import os, clew.stores.append as a; a.heal = lambda fd, *_: os.fstat(fd).st_size",
    # one at a time
    "lock": "import clew.stores.native_lock as n; n.lock = lambda fd: True",
    # a line that could not be written whole is taken back
    "roll-back": "import os; os.ftruncate = lambda fd, size: None",
    # what is already stored is not stored again when a run is recovered
    "look": "import clew.stores.session_file as s; s.SessionFile._stored = lambda *_: False",
}


def without(clew: Clew, *guards: str) -> Clew:
    """Take guards out of the commands of this world, and return it."""
    folder = clew.cwd.parent / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("\n".join(GUARDS[guard] for guard in guards))
    clew.env["PYTHONPATH"] = str(folder)
    return clew
