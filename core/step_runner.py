"""One step of a workflow, from what it is given to what it has come to: somebody may be asked
before, it is called as often as it may be, and somebody may look it over."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from .approvals import Settlement
from .attachments import Attachment
from .clock import new_run_id
from .defined import Defined
from .delegation import decided_for
from .errors import StepFailed
from .inside import Inside, passed_on
from .lines import RunLine
from .order import Order
from .records import StepRecord
from .step_books import StepBooks, Waits, failure_of
from .step_calls import Called, called_command, called_function, called_run
from .step_flow import Flow
from .step_gates import Again, Skipped, StepGates
from .step_result import StepResult, result_of, text_of
from .step_view import Scope, View
from .steps import Command, Step, kind_of
from .work import Begun

_FIRST_PAUSE = 0.5
_LOOK_SECONDS = 0.1


@dataclass
class StepRunner:
    """Runs single steps for a pipeline."""

    view: View
    order: Order
    begun: Begun
    books: StepBooks
    gates: StepGates
    flow: Flow
    _asking: Lock = field(default_factory=Lock)

    def run(self, step: Step, key: str, scope: Scope) -> StepResult:
        """Run a step; raise StepFailed, Refused or Waits if it has come to nothing."""
        record = self.books.record(key, str(step.name), kind_of(step), scope.given.content)
        with self.books.kept(record):
            try:
                result = self._run(step, record, scope)
            except Skipped:
                before = self.books.earlier.get(key)
                error = before["error"] if before is not None else None
                result = StepResult(record["name"], status="SKIPPED", error=error)
            except StepFailed as failure:
                result = self._without(step, record, failure)
            self.books.come_to(record, result)
        return result

    def _run(self, step: Step, record: StepRecord, scope: Scope) -> StepResult:
        said = self.gates.allowed(step, record)
        again: Again | None = None
        if self.gates.is_under_review(record):
            earlier = self.books.earlier[record["id"]]
            record["input"] = earlier["input"]
            before = replace(result_of(earlier, self.begun.log), status="COMPLETED")
            try:
                return self.gates.reviewed(step, record, before)
            except Again as sent_back:
                again = sent_back
        while True:
            result = self._attempts(step, record, scope, said, again)
            result = replace(result, stop=result.stop or self._stops(step, result, scope))
            try:
                return self.gates.reviewed(step, record, result)
            except Again as sent_back:
                again = sent_back

    def _without(self, step: Step, record: StepRecord, error: StepFailed) -> StepResult:
        """Return the result of a step that failed, if the workflow may go on without it."""
        name = record["name"]
        if step.on_error == "pause":
            record["error"] = error.record()
            self.gates.ask_about_failure(step, record, error)
        if step.on_error != "skip":
            raise failure_of(name, error) from error
        return StepResult(name, status="SKIPPED", error=error.record())

    def _stops(self, step: Step, result: StepResult, scope: Scope) -> bool:
        if isinstance(step.stop, bool):
            return step.stop
        return self.view.holds(step.stop, scope.within(scope.where, result))

    def _attempts(
        self,
        step: Step,
        record: StepRecord,
        scope: Scope,
        said: Mapping[str, Any],
        again: Again | None,
    ) -> StepResult:
        """Call a step, again where it may help; one that was sent back begins anew."""
        content = self._content(step, record, scope, said)
        if again is not None:
            record["run_id"] = None
            if isinstance(step.does, Defined):
                content = _sent_back(content, again)
        record["input"] = content
        tried = 0
        while True:
            try:
                return self._call(step, record, scope, content, said, again)
            except StepFailed as error:
                tried += 1
                if not error.retryable or tried > step.retries:
                    raise
            self._wait(_FIRST_PAUSE * 2 ** (tried - 1))

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        exchange = self.begun.outer.exchange
        while (left := end - time.monotonic()) > 0:
            if exchange.seconds_left == 0:
                raise exchange.time.reached()
            time.sleep(min(left, _LOOK_SECONDS))
            self.begun.outer.stop.check()

    def _content(
        self, step: Step, record: StepRecord, scope: Scope, said: Mapping[str, Any]
    ) -> str:
        if step.input is None:
            return scope.given.content
        return text_of(self.view.value(step.input, scope, user_input=dict(said)))

    def _call(
        self,
        step: Step,
        record: StepRecord,
        scope: Scope,
        content: str,
        said: Mapping[str, Any],
        again: Again | None,
    ) -> StepResult:
        record["attempts"] += 1
        if isinstance(step.does, Defined):
            return self._make_run(step, step.does, record, scope, _with_said(content, said))
        call = self.called(record["id"], scope, content, said)
        if again is not None:
            call = replace(call, environment={**call.environment, "CLEW_NOTE": again.note})
        self.books.note(record, durably=True)
        if isinstance(step.does, Command):
            scope.state.publish(record["id"])
            try:
                return called_command(step.does, record["name"], call, self.begun)
            finally:
                scope.state.refresh()
        result, patch = called_function(step.does, record["name"], call, self.begun)
        scope.state.take(patch)
        return result

    def called(
        self,
        key: str,
        scope: Scope,
        content: str | None = None,
        said: Mapping[str, Any] | None = None,
    ) -> Called:
        """Return what a command or a function gets that is called here."""
        text = scope.given.content if content is None else content
        environment = self.order.environment | {"CLEW_STEP": key}
        if said:
            environment["CLEW_USER_INPUT"] = json.dumps(dict(said))
        return Called(text, lambda: self.view.step_input(scope, text, said or {}), environment)

    def _make_run(
        self, step: Step, what: Defined, record: StepRecord, scope: Scope, content: str
    ) -> StepResult:
        key, outer = record["id"], self.begun.outer
        scope.state.publish(key)
        inside = Inside(
            outer,
            new_run_id(),
            self.begun.log,
            scope.state.current,
            resumes=record["run_id"],
            settled=self._settled_inside(key),
            preface=self._history(step),
            step=key,
        )
        if record["run_id"] is None:  # else that run leads to this one
            record["run_id"] = inside.run_id
        self.books.note(record, durably=True)
        decide = decided_for(record["name"], self.flow.how.decide, self._asking)
        how = replace(self.flow.how, files=_files(scope, outer.files), decide=decide)
        try:
            line = called_run(what, content, how, inside)
        finally:
            self._take_run(record, scope, inside)
        return self.outcome(record, line)

    def _take_run(self, record: StepRecord, scope: Scope, inside: Inside) -> None:
        """Have what a run did on record, however it ended."""
        self.books.unstored = self.books.unstored or inside.unstored
        line = inside.line
        if line is None:
            return
        own = line["parent_run_id"] == self.begun.outer.run_id
        record["run_id"] = line["run_id"]
        if own:
            self.books.add_run(record, line)
            scope.state.refresh(line)
        self.gates.asks.take_inside(
            [
                passed_on(one, record["id"], line)
                for one in line["requirements"]
                if one["decision"] is None or own
            ]
        )

    def outcome(self, record: StepRecord, line: RunLine) -> StepResult:
        """Return what a run has come to; of one that has come to nothing no word is handed on."""
        if line["status"] == "PAUSED":
            raise Waits
        error = line["error"]
        if line["status"] != "COMPLETED":
            message = error["message"] if error else f"its run is {line['status']}"
            retryable = bool(error and error["retryable"])
            raise StepFailed(message, hint=error["hint"] if error else None, retryable=retryable)
        files: tuple[Attachment, ...] = ()
        if line["kind"] == "workflow" and line["steps"]:
            files = result_of(line["steps"][-1], self.begun.log).files
        data, content = line["data"], line["content"]
        if data is not None and line["kind"] != "workflow":
            content = text_of(data)  # a model may say more around it
        return StepResult(record["name"], content, data, files)

    def _settled_inside(self, key: str) -> dict[str, Settlement]:
        """Return what was decided about a run that this step made."""
        resumed = self.order.resumes
        waiting = resumed["requirements"] if resumed else []
        return {
            one["tool_call_id"]: self.order.settled[one["tool_call_id"]]
            for one in waiting
            if one["decision"] is None
            and "inside" in one
            and one["inside"]["tool_call_id"] == key
            and one["tool_call_id"] in self.order.settled
        }

    def _history(self, step: Step) -> str:
        """Return what a step is told of earlier executions."""
        own, flow = step.add_workflow_history, self.flow
        if not (flow.tells_history if own is None else own):
            return ""
        most = step.num_history_runs
        return flow.history(flow.num_history_runs if most is None else most)


def _files(scope: Scope, given: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """Return what goes along to a step: the workflow's own files, and what the last step left."""
    files = {file.record["sha256"]: file for file in (*given, *scope.given.files)}
    return tuple(files.values())


def _sent_back(content: str, again: Again) -> str:
    note = f": {again.note}" if again.note else ""
    return f"{content}\n\nYou had answered:\n\n{again.said}\n\nThat was sent back{note}"


def _with_said(content: str, said: Mapping[str, Any]) -> str:
    if not said:
        return content
    shown = json.dumps(dict(said), ensure_ascii=False)
    return f"{content}\n\n<user_input>\n{shown}\n</user_input>"
