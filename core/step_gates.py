"""Where a step waits for somebody: before it runs, when it is looked over, when it has failed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .approvals import Settlement
from .errors import StepFailed, UsageError
from .records import StepRecord
from .state import storable_value
from .step_asks import Asks, Said
from .step_books import Refused, StepBooks, Waits
from .step_flow import CHOICE, step_spec
from .step_result import StepResult
from .step_view import Scope
from .steps import Router, Step


class Skipped(Exception):
    """Somebody said no to a step: the workflow goes on without it."""


class Again(Exception):
    """Somebody wants a step to run again, in view of what it `said`."""

    def __init__(self, note: str, said: str) -> None:
        super().__init__(note)
        self.note = note
        self.said = said


@dataclass(frozen=True)
class StepGates:
    """Asks about steps what their definition wants somebody to say.

    A step that may not run raises Refused, where the workflow is to end for that, else Skipped; as
    long as nobody has answered it raises Waits.
    """

    asks: Asks
    books: StepBooks

    def allowed(self, step: Step, record: StepRecord) -> Mapping[str, Any]:
        """Return what somebody gave for the step, once it may run."""
        key, pause = record["id"], step.pause
        if f"{key}:error" in self.asks.waiting:
            before, failed = self.books.earlier.get(key), replace(pause, on_reject="skip")
            record["error"] = before["error"] if before is not None else None
            said = self.asks.ask(f"{key}:error", "confirm", step_spec(step), failed)
            self._answered(said, record)
            record["error"] = None
        if pause.confirmation and not record.get("confirmed"):
            self._answered(self.asks.ask(key, "confirm", step_spec(step), pause), record)
            record["confirmed"] = True
        if pause.user_input is not None and "user_input" not in record:
            spec = step_spec(step)
            name = f"{key}:input" if pause.confirmation else key
            given = self._answered(self.asks.ask(name, "input", spec, pause), record)
            record["user_input"] = dict(given.values)
        return record.get("user_input", {})

    def is_under_review(self, record: StepRecord) -> bool:
        """Tell whether the step has run, and somebody was to look over what it came to."""
        before = self.books.earlier.get(record["id"])
        return before is not None and before.get("under_review", False)

    def _answered(self, said: Said | None, record: StepRecord) -> Settlement:
        """Return what was said, if it was no no; else do what that means."""
        if said is None:
            raise Waits
        if said.settlement.decision == "rejected":
            self._refused(said, record)
        return said.settlement

    @staticmethod
    def _refused(said: Said, record: StepRecord) -> None:
        note = said.settlement.note
        if said.on_reject == "cancel":
            why = f": {note}" if note else ""
            raise Refused(f"step {record['name']!r} was not allowed{why}")
        raise Skipped

    def choice(
        self, router: Router, known: list[str], record: StepRecord, scope: Scope
    ) -> list[str]:
        """Return which choices somebody takes; raise Waits until they do."""
        spec = step_spec(router)
        said = self.asks.ask(record["id"], "input", spec, router.pause, scope.given.content)
        try:
            value = self._answered(said, record).values.get(CHOICE)
        except Skipped:
            return []
        if value is None:
            return []
        return [str(value)] if not isinstance(value, list) else list(map(str, value))

    def reviewed(self, step: Step, record: StepRecord, result: StepResult) -> StepResult:
        """Return what a step has come to, once somebody has looked it over, if that is wanted."""
        if not step.pause.review:
            return result
        self.books.come_to(record, result)
        record["status"], record["under_review"] = "INTERRUPTED", True
        self.books.note(record)
        key = f"{record['id']}:review"
        said = self.asks.ask(key, "review", step_spec(step), step.pause, result.content)
        if said is None:
            raise Waits
        if said.settlement.decision == "rejected" and said.on_reject == "cancel":
            self._refused(said, record)
        del record["under_review"]
        return self._looked_over(said, record, result)

    def _looked_over(self, said: Said, record: StepRecord, result: StepResult) -> StepResult:
        if said.settlement.decision == "supplied":
            text = said.settlement.result
            return replace(result, content=text, data=_object_in(text) if result.data else None)
        if said.settlement.decision == "rejected":
            if said.on_reject == "retry":
                raise Again(said.settlement.note or "", result.content)
            self._refused(said, record)
        return result

    def ask_about_failure(self, step: Step, record: StepRecord, error: StepFailed) -> None:
        """Wait for somebody to say whether a step that failed runs again, or is left out."""
        says_so = error.message.startswith("it ")  # as of a command
        message = error.message if says_so else f"it failed: {error.message}"
        pause = replace(step.pause, message=message, on_reject="skip")
        self.asks.leave_open(f"{record['id']}:error", "confirm", step_spec(step), pause)
        raise Waits


def _object_in(text: str) -> Any:
    """Return what is put in the place of an object, if it is JSON as well."""
    try:
        return storable_value(json.loads(text), "the answer")
    except (ValueError, RecursionError, UsageError):
        return None
