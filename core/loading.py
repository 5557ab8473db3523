"""Python objects by their names, as module:object."""

import importlib
import re
import sys
from typing import Any

from .stdout_apart import apart

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""module:object, and no path."""


_folders = [""]


def look_first_in(folder: str) -> None:
    """Look for modules in this folder from now on, and only then in the current one."""
    if folder not in _folders:
        _folders.insert(0, folder)


def load_object(name: str) -> Any:
    """Return the object that `module:object` names; raises whatever its module raises."""
    module, _, path = name.partition(":")
    # Last, and for this one import only: a file of these must not stand in for a library.
    sys.path.extend(_folders)
    try:
        with apart():
            found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    finally:
        for folder in _folders:
            last = len(sys.path) - 1 - sys.path[::-1].index(folder)  # one may have been there
            del sys.path[last]
    return found
