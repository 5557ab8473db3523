"""Sessions as files of JSON lines, a folder for each user."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from heapq import nlargest
from stat import S_ISREG

from clew.core.errors import DamagedError
from clew.core.ids import digest, is_generated, is_session_id, user_folder
from clew.core.lines import Line
from clew.core.session import Draft, always, name_draft, tip_after
from clew.core.store import Claim, SessionLog, Waiting

from . import inflight
from .files import close, make_folder, parse_small, read_small, replace_file, storing
from .locks import hold, me
from .names import NameIndex
from .session_file import SessionFile
from .used import LastUsed

_SUFFIX = ".jsonl"
_END = -len(_SUFFIX)
_FIRST = 100
_ABOVE_RUNS = 3
"""Folders between the claims' and the store's own: they have to be safe, too."""


class JsonlStore:
    """Keeps the promises of `Store` in `ROOT/users/USER/SESSION.jsonl`.

    `terminal` is any text that tells this terminal from others, None outside of one.
    """

    keeps = True

    def __init__(self, root: str, terminal: str | None = None) -> None:
        with storing("find", root):
            self._root = os.path.abspath(root)
        self._terminal = terminal

    def session(self, session_id: str, user_id: str) -> SessionFile:
        """Return a handle of this user's session."""
        folder = self._folder(user_id)
        return SessionFile(folder, session_id, user_id, self._last_used(user_id).mark)

    def sessions(self, user_id: str) -> Iterator[SessionLog]:
        """Yield this user's sessions, most recently used first."""
        for session_id in self._newest_first(user_id):
            yield self.session(session_id, user_id)

    def under_way(self, user_id: str) -> Iterator[SessionLog]:
        """Yield this user's sessions that have a run in flight."""
        folder = os.path.join(self._folder(user_id), inflight.FOLDER)
        for session_id in sorted(inflight.sessions(folder)):
            yield self.session(session_id, user_id)

    def with_prefix(self, prefix: str, user_id: str) -> list[str]:
        """Return this user's generated session ids that begin so."""
        ids = (session_id for _, session_id in self._written(user_id, prefix))
        return sorted(one for one in ids if one.startswith(prefix) and is_generated(one))

    def named(self, name: str, user_id: str) -> str | None:
        """Return the id of this user's session of that name."""
        return self._names(user_id).session(name)

    def name_of(self, session_id: str, user_id: str) -> str | None:
        """Return the name of this user's session."""
        return self._names(user_id).name(session_id)

    def rename(
        self,
        session_id: str,
        user_id: str,
        name: str,
        *,
        made: Draft | None = None,
        unless_named: bool = False,
    ) -> Line | None:
        """Name a session; raise ConflictError if another one of this user has that name."""
        log = self.session(session_id, user_id)
        lines: list[Line | None] = []

        def store(name: str) -> None:
            lines.append(log.append(always(made) if made is not None else name_draft(name)))

        self._names(user_id).give(session_id, name, store, unless_named=unless_named)
        return lines[0] if lines else None

    def last_used(self, user_id: str) -> tuple[str, bool] | None:
        """Return the session that got a line last, and whether it was in this terminal."""
        pointers = self._last_used(user_id)
        here = pointers.here()
        if here is not None and self.session(here, user_id).exists():
            return here, True
        anywhere = pointers.anywhere()
        if anywhere is None or not self.session(anywhere, user_id).exists():
            anywhere = next(self._newest_first(user_id), None)
        return None if anywhere is None else (anywhere, False)

    @contextmanager
    def claim(
        self, run_id: str, session_id: str, user_id: str, waiting: Waiting
    ) -> Iterator[Claim]:
        """Have a caller's run id to oneself, and learn which session it belongs to."""
        folder = os.path.join(self._folder(user_id), ".runs")
        make_folder(folder, parents=_ABOVE_RUNS)
        path = os.path.join(folder, digest(run_id))
        with hold(f"{path}.lock", f"run {run_id}", waiting, me(run_id)):
            claim = _claimed(path, run_id)
            if claim is None:
                after = tip_after(self.session(session_id, user_id).last()).seq
                claim = Claim(session_id, True, after)
                fields = {"run_id": run_id, "session_id": session_id, "after": after}
                with storing("write", path):
                    replace_file(path, json.dumps(fields).encode(), durable=True)
            yield claim

    def _folder(self, user_id: str) -> str:
        return os.path.join(self._root, "users", user_folder(user_id))

    def _cache(self, user_id: str) -> str:
        return os.path.join(self._folder(user_id), ".cache")

    def _last_used(self, user_id: str) -> LastUsed:
        return LastUsed(self._cache(user_id), self._terminal)

    def _names(self, user_id: str) -> NameIndex:
        folder = os.path.join(self._cache(user_id), "names")
        return NameIndex(folder, lambda session: self._named(user_id, session))

    def _named(self, user_id: str, only: str | None) -> Iterator[tuple[str, str]]:
        for log in self.sessions(user_id) if only is None else [self.session(only, user_id)]:
            for line in log.newest():
                if line["type"] == "session" and line.get("name"):
                    yield log.session_id, str(line["name"])
                    break

    def _newest_first(self, user_id: str) -> Iterator[str]:
        """Yield the ids of this user's sessions, the one written to last first."""
        written = self._written(user_id)
        first = nlargest(_FIRST, written)  # mostly nobody wants more, and to sort takes longer
        yield from (session_id for _, session_id in first if is_session_id(session_id))
        if len(written) > len(first):
            rest = sorted(written, reverse=True)[len(first) :]
            yield from (session_id for _, session_id in rest if is_session_id(session_id))

    def _written(self, user_id: str, prefix: str = "") -> list[tuple[int, str]]:
        """Return when each session was written to, and its id; a run in flight is enough.

        Files whose names do not begin with `prefix` are not looked at. What is returned may have
        a name that no session has: for the many that nobody asks for, that need not be found out.
        """
        folder = self._folder(user_id)
        with storing("read", folder):
            written = _files(folder, prefix)
        in_flight = inflight.sessions(os.path.join(folder, inflight.FOLDER))
        if in_flight:
            for _, session_id in written:
                in_flight.pop(session_id, None)
        return [*written, *((began, session_id) for session_id, began in in_flight.items())]


def _files(folder: str, prefix: str) -> list[tuple[int, str]]:
    """Return when each file of a session was written to, and its name without suffix.

    This is done for each of maybe 100,000 sessions, for a list of ten: nothing else is.
    """
    found: list[tuple[int, str]] = []
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return found
    try:
        with os.scandir(fd) as entries:  # from an open folder, each name is found sooner
            named = (each for each in entries if each.name.startswith(prefix))
            for entry in named if prefix else entries:
                name = entry.name
                if name[_END:] == _SUFFIX:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed meanwhile
                    if status.st_size and S_ISREG(status.st_mode):
                        found.append((status.st_mtime_ns, name[:_END]))
    finally:
        close(fd)
    return found


def _claimed(path: str, run_id: str) -> Claim | None:
    """Return an earlier claim; None if there is none.

    Raises DamagedError for one that cannot be read: to take it for none would pay twice.
    """
    if not os.path.lexists(path):
        return None
    claim = parse_small(read_small(path))
    with suppress(LookupError, TypeError, ValueError, ArithmeticError):
        if claim["run_id"] == run_id:
            return Claim(str(claim["session_id"]), False, int(claim.get("after", 0)))
    raise DamagedError(
        f"{path} cannot be read: it says where run {run_id!r} belongs",
        hint="look for the run with `clew history`; delete the file to have the run made again",
    )
