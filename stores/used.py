"""Which session was used last, in each terminal and anywhere: pointers that may be lost."""

import os
from contextlib import suppress

from clew.core.errors import StoreError
from clew.core.ids import digest, is_session_id

from .files import make_folder, read_small, replace_file


class LastUsed:
    """Remembers a session for a terminal (a text that tells it from others), and for all."""

    def __init__(self, folder: str, terminal: str | None) -> None:
        self._anywhere = os.path.join(folder, "last")
        self._here = None if terminal is None else f"{self._anywhere}-{digest(terminal)}"
        self._folder = folder

    def mark(self, session: str) -> None:
        """Remember `session`; that this fails is nobody's concern."""
        with suppress(OSError, StoreError):
            make_folder(self._folder, durable=False)
            for path in filter(None, (self._here, self._anywhere)):
                if read_small(path) != session.encode():
                    replace_file(path, session.encode())

    def here(self) -> str | None:
        """Return the session used last in this terminal."""
        return _read(self._here) if self._here else None

    def anywhere(self) -> str | None:
        """Return the session used last."""
        return _read(self._anywhere)


def _read(path: str) -> str | None:
    text = read_small(path).decode("ascii", "replace")
    return text if is_session_id(text) else None
