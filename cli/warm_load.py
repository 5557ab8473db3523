"""Loading all that a run may need, before there is one; and knowing what that depended on."""

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

from .warm_likeness import Variables
from .warm_place import CODE
from .warm_watch import watched

_WITHOUT = ("clew.cli.warm_server", "clew.core.jq_worker")
_SET_BY_CLEW = (b"LITELLM_LOCAL_MODEL_COST_MAP", b"LITELLM_MODE")
_FOR_TERMINALS = b"NO_COLOR"  # looked up to see what a terminal gets, and there is none here
_OWN_BUSINESS = frozenset((*_SET_BY_CLEW, _FOR_TERMINALS))


@dataclass(frozen=True)
class Loaded:
    """What it depended on."""

    read: Variables
    """The variables that were looked up while it was loaded, as they were; and those whose values
    something has kept from the runs that were made to practise, as they were there."""
    changed: dict[bytes, bytes | None]
    """What that has done to the environment."""


def load() -> Loaded:
    """Load it."""
    from .warm_rehearsal import practise, prepare, rehearse

    before = dict(os.environb)
    with watched() as names:
        _load_clew()
        prepare(rehearse())
        read = {(name, before.get(name)) for name in names - _OWN_BUSINESS}
    _ask_once()
    after = dict(os.environb)
    changed = {
        name: after.get(name)
        for name in {*before, *after}
        if after.get(name) != before.get(name) and name not in _OWN_BUSINESS
    }
    return Loaded(frozenset(read | practise()), changed)


def _ask_once() -> None:
    """Have what is asked once in a process, and does not depend on its environment: what the system
    is, which takes a process to find out, and the models in the form in which they are searched."""
    from clew.core.litellm_model import LitellmModel

    platform.platform()
    platform.processor()
    with suppress(Exception):
        assert LitellmModel("openai/gpt-4o-mini").price


def _load_clew() -> None:
    from clew.core import litellm_model
    from clew.stores import native_lock

    litellm_model.load()
    native_lock.load()
    for layer in ("core", "stores", "cli"):
        for file in sorted(os.listdir(os.path.join(CODE, layer))):
            name = f"clew.{layer}.{file.removesuffix('.py')}"
            if file.endswith(".py") and not file.startswith("_") and name not in _WITHOUT:
                with suppress(ImportError):  # an extra that is not installed
                    import_module(name)
