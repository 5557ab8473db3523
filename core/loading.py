"""Python objects by their names, as module:object."""

import importlib
import re
import sys
from typing import Any

from .stdout_apart import apart

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""module:object, and no path."""


def load_object(name: str) -> Any:
    """Return the object that `module:object` names; raises whatever its module raises."""
    module, _, path = name.partition(":")
    # Last, and for this one import only: a file of this folder must not stand in for a library.
    sys.path.append("")
    try:
        with apart():
            found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    finally:
        sys.path.remove("")
    return found
