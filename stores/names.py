"""The names of a user's sessions: an index beside the sessions that can be made anew from them.

The truth is the last `session` line of each session; the index saves reading them all.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from clew.core.errors import BusyError, ConflictError, StoreError
from clew.core.ids import digest, is_session_id
from clew.core.store import Waiting
from clew.core.text import one_spelling

from .files import make_folder, parse_small, read_small, replace_file, storing, sync_folder
from .locks import hold

_LOCK_SECONDS = 60.0
_ABOVE = 4
"""Folders between the index's and the store's own: they have to be safe, too."""
Scan = Callable[[str | None], Iterator[tuple[str, str]]]
"""Yields `(session id, name)` of this session if it is named; of every named one for None."""


class _NoIndex(Exception):
    """The index is not there, or an entry of it is damaged."""


class NameIndex:
    """Finds a session by its name, and a name by its session."""

    def __init__(self, folder: str, scan: Scan) -> None:
        self._folder = folder
        self._scan = scan

    def session(self, name: str) -> str | None:
        """Return the session of this name."""
        name = one_spelling(name)
        try:
            session = self._read("name", name)
            return session if session is not None and self.name(session) == name else None
        except _NoIndex:
            named = self._scan(None)
            return next((session for session, own in named if one_spelling(own) == name), None)

    def name(self, session: str) -> str | None:
        """Return the name of this session."""
        try:
            return self._read("session", session)
        except _NoIndex:
            return next((name for _, name in self._scan(session)), None)

    def give(
        self, session: str, name: str, store: Callable[[str], None], *, unless_named: bool
    ) -> None:
        """Name a session, its line written by `store`; raise ConflictError if it is taken."""
        name = one_spelling(name)
        with self._locked(Waiting(_LOCK_SECONDS)):
            self._build()
            before = self.name(session)
            if unless_named and before is not None:
                return
            owner = self.session(name)
            if owner == session:
                return
            if owner is not None:
                raise ConflictError(f"the name {name!r} is taken by session {owner}")
            self._unbuild()
            store(name)
            self._write("name", name, session)
            self._write("session", session, name)
            if before is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._path("name", before))
            self._write("complete", "", "")

    def _made(self) -> bool:
        """Tell whether there is an index, after making it where it can be made."""
        if not self._ready() and os.path.isdir(os.path.dirname(os.path.dirname(self._folder))):
            with suppress(BusyError, StoreError), self._locked(Waiting(0)):
                self._build()
        return self._ready()

    @contextmanager
    def _locked(self, waiting: Waiting) -> Iterator[None]:
        make_folder(self._folder, parents=_ABOVE)
        with hold(os.path.join(self._folder, "lock"), "the name index", waiting):
            yield

    def _ready(self) -> bool:
        return os.path.exists(os.path.join(self._folder, "complete"))

    def _build(self) -> None:
        if self._ready():
            return
        for session, name in self._scan(None):
            self._write("name", one_spelling(name), session)
            self._write("session", session, one_spelling(name))
        self._write("complete", "", "")

    def _unbuild(self) -> None:
        """Have the index made anew, unless the change that follows is seen to its end."""
        with storing("write", self._folder):
            os.unlink(self._path("complete", ""))
            sync_folder(self._folder)

    def _path(self, kind: str, key: str) -> str:
        name = "complete" if kind == "complete" else f"{kind}-{digest(key)}"
        return os.path.join(self._folder, name)

    def _write(self, kind: str, key: str, value: str) -> None:
        path = self._path(kind, key)
        with storing("write", path):
            replace_file(path, json.dumps({"key": key, "value": value}).encode())

    def _read(self, kind: str, key: str) -> str | None:
        """Return an entry's value; raise _NoIndex where the index cannot say."""
        if not self._made():
            raise _NoIndex
        path = self._path(kind, key)
        if not os.path.lexists(path):
            return None
        entry = parse_small(read_small(path))
        with suppress(LookupError, TypeError):
            value = entry["value"]
            if entry["key"] == key and isinstance(value, str) and _may_be(kind, value):
                return value
        raise _NoIndex


def _may_be(kind: str, value: str) -> bool:
    """Tell whether a value is what such an entry holds: what a file says never becomes a path."""
    return kind != "name" or is_session_id(value)
