"""The tools with which a model looks up what was said: earlier in its session, and in others.

They show completed turns of the run's own user, and nothing else. What they read and what they say
is bounded, however much there is; what is left out is said.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from . import ids
from .errors import ClewError
from .lines import Line, RunLine
from .session import is_turn
from .store import SessionLog, Store
from .text import shorten
from .tools import RunContext, ToolError, ToolSpec

_CHARACTERS = 16_000
"""Of questions and answers in a result."""
_RUNS = 50
_USUAL_RUNS = 10
_LINES = 1000
"""Of a session, looked at in one call."""


@dataclass(frozen=True)
class Past:
    """What a run may look back on: its session, and the store where its user's others are."""

    log: SessionLog | None = None
    store: Store | None = None


@dataclass(frozen=True)
class _Text:
    """A text, no more of it than could be shown, and its whole length."""

    head: str
    length: int

    def cut(self, most: int) -> str:
        if self.length <= most:
            return self.head
        return f"{self.head[:most]}… [{self.length - most} more characters]"


def _text(whole: str) -> _Text:
    return _Text(whole[:_CHARACTERS], len(whole))


class _Turn:
    """What is shown of a run."""

    def __init__(self, line: RunLine) -> None:
        self.run_id = line["run_id"]
        self.session_id = line["session_id"]
        self.created_at = line["created_at"]
        self.input = _text(line["input"])
        self.answer = _text(line["content"])

    def shown(self, most: int) -> dict[str, str]:
        """Return it as data, its texts cut to so many characters."""
        return {
            "run_id": self.run_id,
            "session_id": self.session_id,
            "created_at": self.created_at,
            "input": self.input.cut(most),
            "answer": self.answer.cut(most),
        }


class _Look:
    """One look back: how far it may go, and what it could not show."""

    def __init__(self, query: str, seconds: float | None, stopped: Callable[[], bool]) -> None:
        self._words = query.casefold().split()
        self._end = None if seconds is None else time.monotonic() + seconds
        self._stopped = stopped
        self.notes: dict[str, None] = {}

    def turns(self, log: SessionLog, before: str | None = None) -> Iterator[_Turn]:
        """Yield the completed turns that have all the words, newest first.

        With `before` only those that are older than that run. Raises ToolError for a session that
        cannot be read, and if there is no such run.
        """
        waits = before is not None
        try:
            for line in self._in_time(log.newest()):
                if not is_turn(line):
                    continue
                if waits:
                    waits = line["run_id"] != before
                elif self._has_words(line):
                    yield _Turn(line)
        except ClewError:
            raise ToolError(f"session {log.session_id} cannot be read") from None
        if log.problems:
            self.say("Lines that are damaged were skipped.")
        if waits:
            raise ToolError(f"no turn {shorten(str(before))!r} was found to look before")

    def say(self, note: str) -> None:
        """Tell the model, once, of what it does not see."""
        self.notes[note] = None

    def result(self, turns: list[_Turn]) -> str:
        """Return what the model reads: JSON, its texts cut so that all have room."""
        if not turns and not self.notes:
            self.say("There are no such turns.")
        most = _fair(text.length for turn in turns for text in (turn.input, turn.answer))
        result: dict[str, Any] = {"runs": [turn.shown(most) for turn in turns]}
        if self.notes:
            result["note"] = " ".join(self.notes)
        return json.dumps(result, ensure_ascii=False)

    def _in_time(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield lines until they are too many, or time is up."""
        for count, line in enumerate(lines):
            if count == _LINES:
                self.say(f"Only the newest {_LINES} lines of a session are looked at.")
                return
            if self._stopped() or (self._end is not None and time.monotonic() >= self._end):
                self.say("There was no time to look at more.")
                return
            yield line

    def _has_words(self, line: RunLine) -> bool:
        if not self._words:
            return True
        text = f"{line['input']}\n{line['content']}".casefold()
        return all(word in text for word in self._words)


def _fair(lengths: Iterable[int]) -> int:
    """Return the length to which texts are cut so that together they keep the bound."""
    left, ordered = _CHARACTERS, sorted(lengths)
    for place, length in enumerate(ordered):
        share = left // (len(ordered) - place)
        if length > share:
            return share
        left -= length
    return _CHARACTERS


class _Tool:
    """What the three tools have in common."""

    reads_session = False
    spec: ToolSpec

    def __init__(self, past: Past) -> None:
        self._past = past
        self._stop = threading.Event()

    def stop(self) -> None:
        """End what is looked up now."""
        self._stop.set()

    def _look(self, arguments: dict[str, Any], context: RunContext) -> _Look:
        return _Look(arguments.get("query", ""), context.seconds, self._stop.is_set)

    def _read(self, log: SessionLog | None, arguments: dict[str, Any], context: RunContext) -> str:
        """Return the newest turns of a session that are asked for, oldest first."""
        look = self._look(arguments, context)
        most = arguments.get("num_runs", _USUAL_RUNS)
        found = look.turns(log, arguments.get("before_run_id")) if log is not None else iter(())
        turns = list(islice(found, most))
        if next(found, None) is not None:
            look.say(f"There are older turns: before_run_id={turns[-1].run_id!r} gives them.")
        return look.result(turns[::-1])


_QUERY = {
    "type": "string",
    "description": "Only turns in whose input or answer all of these words stand.",
}
_READING = {
    "num_runs": {
        "type": "integer",
        "minimum": 1,
        "maximum": _RUNS,
        "description": f"How many turns, the newest ones ({_USUAL_RUNS} if left out). "
        "The fewer, the more is shown of each.",
    },
    "query": _QUERY,
    "before_run_id": {
        "type": "string",
        "description": "Only turns that are older than the one with this run_id.",
    },
}


def _shape(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


class ReadChatHistory(_Tool):
    """Shows the earlier turns of the run's own session."""

    spec = ToolSpec(
        "read_chat_history",
        "Read the earlier turns of this conversation, also those that are not in front of you: "
        "what was asked and answered, oldest first.",
        _shape(_READING),
    )

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Return the newest turns that are asked for."""
        return self._read(self._past.log, arguments, context)


class ReadPastSession(_Tool):
    """Shows the turns of another session of the run's user."""

    spec = ToolSpec(
        "read_past_session",
        "Read an earlier conversation with this user, by a session_id that search_past_sessions "
        "gave: what was asked and answered, oldest first.",
        _shape({"session_id": {"type": "string"}} | _READING, "session_id"),
    )

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Return the newest turns of the session; raise ToolError if the user has none such."""
        wanted = arguments["session_id"]
        if wanted == context.session_id:
            raise ToolError("that is this conversation, not an earlier one")
        store = self._past.store
        if store is None or not ids.is_session_id(wanted):
            raise ToolError(f"there is no session {shorten(wanted)!r}")
        log = store.session(wanted, context.user_id)
        try:
            exists = log.exists()
        except ClewError:
            raise ToolError(f"session {wanted} cannot be read") from None
        if not exists:
            raise ToolError(f"there is no session {wanted!r}")
        return self._read(log, arguments, context)


class SearchPastSessions(_Tool):
    """Looks for turns in the newest `sessions` of the user's others, at most `runs` of each."""

    spec = ToolSpec(
        "search_past_sessions",
        "Look for turns in the earlier conversations with this user, newest first. "
        "read_past_session reads more of one.",
        _shape({"query": _QUERY}),
    )

    def __init__(self, past: Past, sessions: int, runs: int) -> None:
        super().__init__(past)
        self._sessions = sessions
        self._runs = runs

    def call(self, arguments: dict[str, Any], context: RunContext) -> str:
        """Return the turns that were found."""
        look = self._look(arguments, context)
        turns: list[_Turn] = []
        for count, log in enumerate(self._others(context)):
            if count == self._sessions or len(turns) == _RUNS:
                look.say("There are older conversations that were not looked at.")
                break
            try:
                turns += islice(look.turns(log), min(self._runs, _RUNS - len(turns)))
            except ToolError as error:
                look.say(f"{error.message[0].upper()}{error.message[1:]}.")
        return look.result(turns)

    def _others(self, context: RunContext) -> Iterator[SessionLog]:
        if self._past.store is None:
            return
        try:
            for log in self._past.store.sessions(context.user_id):
                if log.session_id != context.session_id:
                    yield log
        except ClewError:
            raise ToolError("the earlier conversations cannot be read") from None
