"""A model that answers from recorded runs: offline, without a key, and always the same."""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, cast

from .answer_repair import asks_again
from .errors import NotFoundError, ReplayMiss, UsageError
from .lines import RunLine
from .messages import Message, assistant
from .model import ModelReply, ModelRequest, Price
from .refs import find
from .store import Store
from .text import shorten, storable
from .usage import Usage, no_usage

_Answer = tuple[str, ModelReply]
_WORDS = re.compile(r"\s*\S+\s*|\s+")


class ReplayModel:
    """Plays the answers of the recorded run whose input is the same as the request's.

    The k-th request with an input gets the k-th recording of that input, then the last one again.
    Without tools to call it skips their calls, as far as it can: the recorded answer is what was
    asked for. Tokens are reported as recorded; the cost is 0.
    """

    takes_schema = True
    window = None
    price = Price(0.0, 0.0)

    def __init__(self, name: str, store: Store | None, user_id: str) -> None:
        self._source = name.removeprefix("replay:")
        if not self._source:
            raise UsageError(
                "replay: names no recording", hint="write replay:SESSION or replay:FILE"
            )
        if os.path.isfile(self._source):
            self._source = os.path.abspath(self._source)
        self.name = storable(f"replay:{self._source}")
        self._runs = _recorded(self._source, store, user_id)
        self._used: dict[str, int] = {}

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Play the next recorded answer; raise ReplayMiss if there is none for this input."""
        recordings = self._recordings.get(request.input, [])
        if not recordings:
            raise ReplayMiss(
                f"{self._source!r} has no run with the input {shorten(request.input)!r}",
                hint="`replay:` matches a run's whole input exactly",
            )
        answered = _answered(request.messages)
        use = self._used.get(request.input, -1) + (answered == 0)
        self._used[request.input] = use
        answers = recordings[min(use, len(recordings) - 1)]
        if not request.tools:
            answers = [each for each in answers if not each[1].tool_calls] or answers
        text, reply = answers[min(answered, len(answers) - 1)]
        for piece in _WORDS.findall(text) if request.stream else [text]:
            on_text(piece)
        return reply

    @cached_property
    def _recordings(self) -> dict[str, list[list[_Answer]]]:
        found: dict[str, list[list[_Answer]]] = {}
        for run in self._runs:
            found.setdefault(run["input"], []).append(list(_answers(run)))
        return found


def _answered(messages: list[Message]) -> int:
    """Return how many answers the run has already got: those after the last prompt."""
    count = 0
    for message in reversed(messages):
        if message["role"] == "user" and not asks_again(message):
            break
        count += message["role"] == "assistant"
    return count


def _answers(run: RunLine) -> Iterator[_Answer]:
    said = [m for m in run.get("messages") or [] if m["role"] == "assistant"]
    said = said or [assistant(run["content"])]
    for message in said[:-1]:
        calls = tuple(message.get("tool_calls", []))
        why = "tool_calls" if calls else "stop"
        yield message["content"], ModelReply(why, no_usage(), run.get("model"), calls)
    reason = run.get("finish_reason") or "stop"
    calls = tuple(said[-1].get("tool_calls", []))
    reply = ModelReply(reason, _usage(run), run.get("resolved_model"), calls)
    yield said[-1]["content"], reply


def _usage(run: RunLine) -> Usage:
    recorded: dict[str, Any] = cast(dict[str, Any], run.get("metrics") or {})
    usage = no_usage() | {k: v for k, v in recorded.items() if k in no_usage()}
    return cast(Usage, usage | {"cost": 0.0})


def _recorded(source: str, store: Store | None, user_id: str) -> list[RunLine]:
    if os.path.isfile(source):
        return list(_runs_of(_lines_of_file(source)))
    if store is None or "/" in source:
        raise NotFoundError(f"no recording {source!r}", hint="name a file of lines, or a session")
    return list(_runs_of(iter(find(store, source, user_id).lines())))


def _runs_of(lines: Iterator[Any]) -> Iterator[RunLine]:
    for line in lines:
        recorded = isinstance(line, dict) and line.get("type", "run") == "run"
        if recorded and line.get("status", "COMPLETED") == "COMPLETED" and "input" in line:
            yield cast(RunLine, line)


def _lines_of_file(path: str) -> Iterator[Any]:
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield _line(raw, f"{path}:{number}")
    except OSError as error:
        raise NotFoundError(f"cannot read the recording {path!r}: {error.strerror}") from None


def _line(raw: bytes, where: str) -> Any:
    try:
        line = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not a line of JSON: {error}") from None
    if isinstance(line, dict) and line.get("type", "run") == "run":
        for key in ("input", "content"):
            if not isinstance(line.get(key), str):
                raise UsageError(f"{where} has no {key!r} that is text")
    return line
