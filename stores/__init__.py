"""Where sessions are kept. `open_store` finds a store by its URL and loads only that one."""

from typing import TYPE_CHECKING

from clew.core.errors import UsageError
from clew.core.store import Store

if TYPE_CHECKING:
    from .jsonl import JsonlStore as JsonlStore
    from .memory import MemoryStore as MemoryStore
else:

    def __getattr__(name: str) -> object:
        if name == "MemoryStore":
            from .memory import MemoryStore

            return MemoryStore
        if name == "JsonlStore":
            from .jsonl import JsonlStore

            return JsonlStore
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["JsonlStore", "MemoryStore", "open_store"]


def open_store(url: str, terminal: str | None = None) -> Store:
    """Return the store of a URL, `jsonl:DIR` or `memory:`; raise UsageError for any other.

    Nothing is created before the first write. `terminal` is any text that tells this terminal
    from others.
    """
    kind, _, place = url.partition(":")
    if kind == "jsonl" and place:
        from .jsonl import JsonlStore

        return JsonlStore(place, terminal)
    if url == "memory:":
        from .memory import MemoryStore

        return MemoryStore()
    raise UsageError(f"{url!r} is not a store", hint="use jsonl:DIR or memory:")
