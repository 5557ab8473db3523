"""What every command can ask for, made when first used: the home, the settings, the store."""

import os
from functools import cached_property
from typing import TYPE_CHECKING

from . import nesting, output
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.core.store import Problem, SessionLog, Store


class App:
    """One call of clew."""

    def __init__(self, *, home: str | None, store_url: str | None, trust_once: bool) -> None:
        self._flags = {"home": home, "store": store_url}
        self._trust_once = trust_once
        self.quiet = False
        self._said: set[Problem | str] = set()

    @cached_property
    def settings(self) -> Settings:
        """The settings, each with its origin."""
        return Settings(self._flags, trust_once=self._trust_once, note=self.note_once)

    @property
    def home(self) -> str:
        """Where clew keeps its data."""
        return str(self.settings.value("home"))

    @cached_property
    def store(self) -> "Store":
        """Where the sessions are."""
        from clew.stores import open_store

        from .terminal import this_terminal

        url = self.settings.value("store") or f"jsonl:{self.home}"
        return open_store(str(url), this_terminal())

    def user(self, flag: str | None) -> str:
        """Return whose sessions are meant."""
        from clew.core import ids
        from clew.core.text import storable

        user = ids.user_id(storable(str(self.settings.value("user", flag))))
        nesting.refuse_other_user(user)
        return user

    def may_ask(self) -> None:
        """Say that this command may ask a model: it may leave processes behind for the next one."""
        from clew.core.resident import RESIDENTS

        RESIDENTS.want(self.settings.value("warm"))

    @property
    def environment(self) -> dict[str, str]:
        """What a command that a run starts needs to find the same sessions."""
        store = self.settings.value("store")
        named = {"CLEW_STORE": str(store)} if store else {}
        return {"CLEW_HOME": os.path.abspath(self.home)} | named | nesting.environment()

    def note(self, text: str) -> None:
        """Tell people something, unless they want quiet."""
        if not self.quiet:
            output.note(text)

    def note_once(self, text: str) -> None:
        """Tell people something that more than one part of a command may come upon."""
        if text not in self._said:
            self._said.add(text)
            self.note(text)

    def choose(self, ref: str | None, user: str) -> "SessionLog":
        """Return the session that a command means, and say which one where it was not named.

        The order: `ref`, `$CLEW_SESSION`, the last one used in this terminal, the last one used
        anywhere. Raises NotFoundError if there is none.
        """
        from clew.core import refs
        from clew.core.errors import NotFoundError
        from clew.core.text import storable

        if ref is not None:
            log = refs.find(self.store, storable(ref), user)
            if log.session_id != ref:
                self.note(f"session {log.session_id}")
            return log
        named = os.environ.get("CLEW_SESSION")
        if named:
            log = refs.find(self.store, storable(named), user)
            self.note(f"session {log.session_id} (from $CLEW_SESSION)")
            return log
        last = self.store.last_used(user)
        if last is None:
            raise NotFoundError("there is no session yet", hint='start one: clew run "…"')
        session_id, here = last
        self.note(f"session {session_id} (last used{' in this terminal' if here else ''})")
        return self.store.session(session_id, user)

    def warn_of_problems(self, log: "SessionLog") -> None:
        """Say what was skipped or moved aside while a session was read."""
        self.say_problems(log.problems)
        log.problems.clear()

    def say_problems(self, problems: "Iterable[Problem]") -> None:
        """Say what was skipped or moved aside, each once: a command may read a session twice."""
        for problem in problems:
            if problem not in self._said:
                self._said.add(problem)
                output.note(str(problem))


def log_file(report: str) -> str | None:
    """Put a report where it can be found, and return its path."""
    from clew.core.clock import now
    from clew.core.home import default_home
    from clew.stores.files import make_folder, replace_file

    folder = os.path.join(default_home(), "logs")
    path = os.path.join(folder, f"{now().replace(':', '-')}-{os.getpid()}.log")
    try:
        make_folder(folder)
        replace_file(path, report.encode("utf-8", "replace"))
    except Exception:
        return None
    return path
