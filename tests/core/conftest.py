"""A store of each kind, and how hard the properties are tried: enough to find a slip, and without a
clock."""

from pathlib import Path

import pytest
from hypothesis import settings

from clew.core.store import Store
from clew.stores import JsonlStore, MemoryStore

settings.register_profile("clew", max_examples=60, deadline=None)
settings.load_profile("clew")


@pytest.fixture(params=["memory", "jsonl"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store, once in memory and once on disk."""
    return MemoryStore() if request.param == "memory" else JsonlStore(str(tmp_path / "home"))
