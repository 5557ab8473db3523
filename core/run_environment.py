"""The environment of this process while functions that are tools run in it: it names their run, so
that a command that they start finds the session."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

NAMES = ("CLEW_SESSION", "CLEW_RUN", "CLEW_STEP", "CLEW_USER_INPUT", "CLEW_NOTE")
"""Variables that only a run may set: another run's would lead to another session."""

_given: dict[str, str | None] = {}
_lock = threading.Lock()
_inside: list[Mapping[str, str]] = []
_before: dict[str, str | None] = {}


def set_for_clew(name: str, value: str) -> None:
    """Set a variable that only this process needs."""
    keep_as_given(name)
    os.environ[name] = value


def keep_as_given(name: str) -> None:
    """Know a variable as it is now: a library is about to set it for itself."""
    _given.setdefault(name, os.environ.get(name))


def forget() -> None:
    """Take the environment, as it is now, for what was given."""
    _given.clear()


def as_given() -> dict[str, str]:
    """Return the environment without what clew has set in it for itself."""
    given = {**os.environ, **_given}
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def named(environment: Mapping[str, str]) -> Iterator[None]:
    """Set these variables, as long as the block lasts.

    A process has one environment: of two runs at once in it, neither is named.
    """
    with _lock:
        _inside.append(environment)
        _settle()
    try:
        yield
    finally:
        with _lock:
            _inside.remove(environment)
            _settle()


def _settle() -> None:
    agreed = bool(_inside) and all(each == _inside[0] for each in _inside)
    if _before and not agreed:
        _set(_before)
        _before.clear()
    elif agreed and not _before:
        wanted: dict[str, str | None] = {**dict.fromkeys(NAMES), **_inside[0]}
        _before.update((name, os.environ.get(name)) for name in wanted)
        _set(wanted)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
