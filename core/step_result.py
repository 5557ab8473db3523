"""What a step of a workflow has come to, as the next steps get it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .attachments import Attachment, from_bytes, load
from .errors import UsageError
from .records import StepRecord
from .state import storable_value
from .steps import StepOutput
from .store import SessionLog
from .text import storable


@dataclass(frozen=True)
class StepResult:
    """What a step has come to. `stop` ends the workflow."""

    name: str
    content: str = ""
    data: Any = None
    files: tuple[Attachment, ...] = ()
    status: str = "COMPLETED"
    error: Any = None
    stop: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as a jq expression, or a function, sees it."""
        return {
            "name": self.name,
            "status": self.status,
            "content": self.content,
            "data": self.data,
            "files": [file.record["name"] for file in self.files],
            "error": self.error,
        }

    def called(self, name: str) -> "StepResult":
        """Return it as that of another part: of what holds the step."""
        return replace(self, name=name)


def result_of(record: StepRecord, log: SessionLog) -> StepResult:
    """Return what a step had come to that ended before; files that are gone are left out."""
    files = []
    for file in record["files"]:
        raw = log.attached(file["sha256"])
        if raw is not None:
            files.append(from_bytes(raw, file["name"]))
    return StepResult(
        record["name"],
        record["content"],
        record["data"],
        tuple(files),
        record["status"],
        record["error"],
        record.get("stop", False),
    )


def made_of(name: str, value: Any) -> StepResult:
    """Return the result of a function that returned this; raise UsageError for what no JSON holds,
    or a file that cannot be had."""
    output = value if isinstance(value, StepOutput) else None
    if output is not None:
        data = None if output.data is None else storable_value(output.data, "the step's data")
        content = storable(output.content) or ("" if data is None else text_of(data))
        files = tuple(map(load, output.files))
        return StepResult(name, content, data, files, stop=output.stop)
    if value is None or isinstance(value, str):
        return StepResult(name, storable(value or ""))
    data = _plain(value)
    return StepResult(name, text_of(data), data)


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    try:
        plain = to_jsonable_python(value)
    except ValueError as error:
        raise UsageError(f"what the step returned cannot be kept: {error}") from None
    return storable_value(plain, "what the step returned")


def text_of(value: Any) -> str:
    """Return a value as text: a text as it is, anything else as JSON on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def joined(name: str, results: Sequence[StepResult]) -> StepResult:
    """Return what steps at once have come to together, in the order in which they stand."""
    results = [each for each in results if each.status != "SKIPPED"]
    content = "".join(f"## {each.name}\n{each.content}\n\n" for each in results).rstrip("\n")
    data: Mapping[str, Any] = {each.name: each.data for each in results if each.data is not None}
    files = tuple(file for each in results for file in each.files)
    stop = any(each.stop for each in results)
    return StepResult(name, content, data or None, files, stop=stop)
