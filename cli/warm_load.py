"""Loading all that a run may need, before there is one; and knowing what that depended on."""

import os
import platform
from contextlib import suppress
from importlib import import_module
from typing import Any

from .warm_place import CODE

_WITHOUT = ("clew.cli.warm_server", "clew.core.jq_worker")


class _Watched(os._Environ[Any]):
    """The environment, which notes each name that somebody looks up."""

    def __getitem__(self, key: Any) -> Any:
        with suppress(TypeError):
            _looked_up.add(os.fsencode(key))
        return super().__getitem__(key)


_looked_up: set[bytes] = set()
_OWN_BUSINESS = frozenset(
    (b"LITELLM_LOCAL_MODEL_COST_MAP", b"LITELLM_MODE")  # set by clew itself, whatever they were
)


def load() -> tuple[frozenset[bytes], dict[bytes, bytes | None]]:
    """Load it; return the variables that this depended on, and what it has done to them."""
    from .warm_rehearsal import prepare, rehearse

    before = dict(os.environb)
    environ: Any = os.environ
    usual = environ.__class__
    environ.__class__ = _Watched
    try:
        _load_clew()
        prepare(rehearse())
    finally:
        environ.__class__ = usual
    _ask_once()
    after = dict(os.environb)
    changed = {
        name: after.get(name)
        for name in {*before, *after}
        if after.get(name) != before.get(name) and name not in _OWN_BUSINESS
    }
    return frozenset(_looked_up) - _OWN_BUSINESS, changed


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
