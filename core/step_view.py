"""What a part of a workflow sees: what it is given, and what came before."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .errors import StepFailed, UsageError
from .jq_program import program
from .step_result import StepResult
from .step_state import StepState
from .steps import Node, StepInput


@dataclass
class Scope:
    """Where steps run one after the other: what the next one is given, and what it sees.

    `where` is the id of what holds them, `given` what the last one handed on, `last` what it came
    to, `results` are those of all earlier steps by name.
    """

    where: str
    given: StepResult
    last: StepResult | None
    results: dict[str, StepResult]
    state: StepState

    def key(self, node: Node) -> str:
        """Return the id of a part here."""
        return f"{self.where}/{node.name}" if self.where else str(node.name)

    def within(self, where: str, given: StepResult | None = None) -> "Scope":
        """Return the scope in a part that holds others, which sees the same."""
        begins = self.given if given is None else given
        last = self.last if given is None else given
        return Scope(where, begins, last, self.results, self.state)

    def branch(self, where: str, state: StepState) -> "Scope":
        """Return the scope of one of several parts at once: what it does, the others do not see."""
        return Scope(where, self.given, self.last, dict(self.results), state)

    def take(self, result: StepResult) -> None:
        """Have what comes next see what a part came to; one that was skipped hands nothing on."""
        self.results[result.name] = result
        if result.status != "SKIPPED":
            self.given = self.last = result


@dataclass
class View:
    """What jq expressions see in all of a workflow's run."""

    input: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def data(self, scope: Scope) -> dict[str, Any]:
        """Return what an expression sees here."""
        return {
            "input": self.input,
            "last": scope.last.as_json() if scope.last else None,
            "steps": {name: result.as_json() for name, result in scope.results.items()},
            "session_state": scope.state.current,
            "params": dict(self.params),
        }

    def value(self, text: str, scope: Scope, **more: Any) -> Any:
        """Return the value of a jq expression; raise StepFailed if it has none."""
        try:
            return program(text).one(self.data(scope) | more)
        except UsageError as error:
            raise StepFailed(error.message, hint=error.hint) from None

    def holds(self, text: str, scope: Scope) -> bool:
        """Tell whether a jq expression is true; raise StepFailed if it is neither."""
        try:
            return program(text).holds(self.data(scope))
        except UsageError as error:
            raise StepFailed(error.message, hint=error.hint) from None

    def step_input(self, scope: Scope, content: str, said: Mapping[str, Any]) -> StepInput:
        """Return what a function gets to know here."""
        data = self.data(scope)
        return StepInput(
            self.input,
            content,
            data["last"],
            data["steps"],
            deepcopy(data["session_state"]),
            data["params"],
            dict(said),
            scope.given.files,
        )
