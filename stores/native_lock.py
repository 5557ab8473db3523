"""filelock's lock on a file that is open already, without the rest of filelock.

The package imports all of asyncio, and SQLite, for kinds of locks that clew has no use for: that
takes longer than to store a run.
"""

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import Protocol, cast


class _LockDescriptor(Protocol):
    def __call__(self, fd: int, *, blocking: bool) -> bool: ...


def lock(fd: int) -> bool:
    """Lock an open file, unless another process has it; tell which. The lock ends with `fd`."""
    return load()(fd, blocking=False)


@cache
def load() -> _LockDescriptor:
    """Return the function that locks, of filelock's."""
    found = sys.modules.get("filelock") or _alone() or importlib.import_module("filelock")
    return cast(_LockDescriptor, found.lock_descriptor)


def _alone() -> ModuleType | None:
    """Return the one module of filelock that locks descriptors; None where there is none such.

    What stands for the package meanwhile, and what was imported with it, is forgotten: whoever
    imports filelock later gets it whole.
    """
    from importlib.util import find_spec

    spec = find_spec("filelock")
    if spec is None or spec.submodule_search_locations is None:
        return None
    bare = ModuleType("filelock")
    bare.__path__ = spec.submodule_search_locations
    sys.modules["filelock"] = bare
    try:
        return importlib.import_module("filelock._descriptor")
    except ImportError:
        return None
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "filelock"]:
            del sys.modules[name]
