"""Workflows for the tests in Python: steps that leave a trace, models that say what they hear."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from clew.core.lines import RunLine
from clew.core.model import ModelReply, ModelRequest, Price
from clew.core.records import Requirement, StepRecord
from clew.core.steps import Command, Loop, Step, StepInput
from clew.core.store import Store
from clew.core.usage import no_usage
from clew.core.workflow import Workflow
from clew.stores.session_file import SessionFile
from clew.stores.verify import verify
from tests.torture.checker import check

Says = Callable[[ModelRequest], str]


class Told:
    """A model that answers as a function says, or always the same; it keeps what it was sent."""

    takes_schema, window = True, None
    price: Price | None = None

    def __init__(self, says: Says | str | None = None, name: str = "told") -> None:
        if isinstance(says, str):
            text = says
            says = lambda _: text  # noqa: E731
        self._says: Says = says or (lambda request: f"<{request.messages[-1]['content']}>")
        self.name = name
        self.sent: list[list[dict[str, Any]]] = []

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Answer."""
        self.sent.append([dict(message) for message in request.messages])
        on_text(self._says(request))
        usage = no_usage() | {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}
        return ModelReply("stop", usage, self.name)

    @property
    def asked(self) -> list[str]:
        """What it was asked, each time."""
        return [str(messages[-1]["content"]) for messages in self.sent]


class Died(BaseException):
    """Stands for the end of the process: the run is left in flight, as by `kill -9`."""


def says(text: str) -> Callable[[StepInput], str]:
    """A function that is a step and says this."""
    return lambda _given: text


def content(given: StepInput) -> str:
    """A step that hands on what it gets."""
    return given.content


def fails(_given: StepInput) -> str:
    """A step that fails."""
    raise ValueError("the paper is out")


def adds(key: str) -> Callable[..., str]:
    """A step that counts itself in the state."""

    def count(given: StepInput) -> str:
        given.session_state[key] = given.session_state.get(key, 0) + 1
        return f"{key} {given.session_state[key]}"

    return count


def sh(script: str, *words: str, **more: Any) -> Command:
    """A command that a shell reads."""
    return Command(["sh", "-c", script, "sh", *map(str, words)], **more)


def traced(file: Path, name: str) -> Step:
    """A step that is a command, which appends its name to a file."""
    return Step(sh('printf "%s\\n" "$2" >> "$1"; printf %s "$2"', str(file), name), name=name)


def trace(file: Path) -> list[str]:
    """The names of the steps that ran, in their order."""
    return file.read_text().split() if file.exists() else []


def flat(steps: Iterable[StepRecord]) -> Iterator[StepRecord]:
    """Yield the records of a line's steps, each before those in it."""
    for record in steps:
        yield record
        yield from flat(record["steps"])


def step(line: RunLine, key: str) -> StepRecord:
    """The record of a step by its id."""
    return next(record for record in flat(line["steps"]) if record["id"] == key)


def statuses(line: RunLine) -> dict[str, str]:
    """The statuses of all steps by their ids, in the line's order."""
    return {record["id"]: record["status"] for record in flat(line["steps"])}


def contents(line: RunLine) -> dict[str, str]:
    """The contents of all steps by their ids, in the line's order."""
    return {record["id"]: record["content"] for record in flat(line["steps"])}


def open_pauses(line: RunLine) -> list[Requirement]:
    """What the run waits for."""
    return [one for one in line["requirements"] if one["decision"] is None]


def ran(store: Store | None, *steps: Any, input: str = "go", **more: Any) -> RunLine:
    """Run these steps, to their end; the session's file has to be right."""
    result = Workflow(steps=steps, name="w", **more).run(input, session_id="s", store=store)
    assert store is None or wrong_with(store) == []
    return result.line


def wrong_with(store: Store, session: str = "s") -> list[str]:
    """What is wrong with a session's file, if the store has files; judged by two."""
    log = store.session(session, "default")
    if not isinstance(log, SessionFile):
        return []
    return [*check(Path(log.location)), *(problem.reason for problem in verify(log))]


def endless(*steps: Any, **more: Any) -> Loop:
    """A loop that somebody has to end."""
    return Loop(list(steps), max_iterations=1_000_000, **more)
