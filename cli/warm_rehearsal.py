"""Making runs before anybody wants one, so that the first is as quick as the hundredth.

First in a process that is thrown away, to learn what a run loads on its way: that is then loaded
where it belongs. Then here, again and again, until nothing is done for the first time any more.
"""

import json
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .warm_play import play, stage
from .warm_watch import watched

_PATIENCE_SECONDS = 5.0
_ROUNDS = 8
"""After so many Python has adapted itself to what is run again and again."""


@dataclass(frozen=True)
class Learned:
    """What runs need that is not there before the first of them, in the order of its making."""

    modules: list[str]
    models: list[tuple[str, str]]
    """Classes of pydantic's, module and name, that are made only when they are first used."""
    sources: list[str]
    """Files of code that were read."""


def rehearse() -> Learned:
    """Make a few runs, in a process that is thrown away, and tell what they came to need."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            with open(theirs, "w", encoding="utf-8") as report:
                json.dump(_learn(), report)
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8") as report:
        text = report.read()
    os.waitpid(child, 0)
    modules, models, sources = json.loads(text or "[[], [], []]")
    return Learned(modules, [(module, name) for module, name in models], sources)


def _learn() -> tuple[list[str], list[tuple[str, str]], list[str]]:
    with stage():
        play()
    made = {(each.__module__, each.__qualname__): None for each in _models(complete=True)}
    return list(sys.modules), list(made), list(linecache.cache)


def _models(*, complete: bool) -> Iterator[Any]:
    """Yield all classes of pydantic's that are made, or are not."""
    from pydantic import BaseModel

    left: list[Any] = [BaseModel]
    while left:
        below = left.pop().__subclasses__()
        left += below
        yield from (each for each in below if each.__pydantic_complete__ is complete)


def prepare(learned: Learned) -> None:
    """Have all of that here."""
    for name in learned.modules:
        if name not in sys.modules:
            with suppress(Exception):  # made up by somebody, or not to be had without a run
                import_module(name)
    wanted = set(learned.models)
    for model in list(_models(complete=False)):
        if (model.__module__, model.__qualname__) in wanted:
            with suppress(Exception):
                model.model_rebuild()
    for path in learned.sources:
        linecache.getlines(path)


def practise() -> set[tuple[bytes, bytes | None]]:
    """Make runs in this process; return the variables, as they were, whose values it has kept from
    that: they are those that were looked up in the first round only."""
    from clew.core import deadline, run_environment
    from clew.core.litellm_model import leave_nothing

    rounds: list[set[bytes]] = []
    with stage() as world:
        for _ in range(_ROUNDS):
            with watched() as names:
                play()
            leave_nothing()
            rounds.append(set(names))
    run_environment.forget()
    deadline.dismiss()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(_PATIENCE_SECONDS)
    there = {os.fsencode(name): os.fsencode(value) for name, value in world.items()}
    return {(name, there.get(name)) for name in rounds[0] - rounds[-1]}
