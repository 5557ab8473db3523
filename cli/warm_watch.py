"""Knowing which variables of the environment are looked up, by whomever."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_names: set[bytes] = set()


class _Watched(os._Environ[Any]):
    """The environment, which notes each name that somebody looks up."""

    def __getitem__(self, key: Any) -> Any:
        with suppress(TypeError):
            _names.add(os.fsencode(key))
        return super().__getitem__(key)


@contextmanager
def watched() -> Iterator[set[bytes]]:
    """Yield the names that are looked up in this block, as they come."""
    environ: Any = os.environ
    usual = environ.__class__
    _names.clear()
    environ.__class__ = _Watched
    try:
        yield _names
    finally:
        environ.__class__ = usual
