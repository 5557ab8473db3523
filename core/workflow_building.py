"""From the definition of a workflow to the workflow itself."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from .building import Building
from .defined import Defined
from .definition_file import Place
from .definition_models import AgentDefinition
from .errors import UsageError
from .loading import load_object
from .state import without_nulls
from .step_check import problems
from .step_names import step_name
from .steps import (
    Command,
    Condition,
    Loop,
    Node,
    Parallel,
    Pause,
    Route,
    Router,
    Step,
    StepFunction,
    Steps,
    Test,
)
from .text import storable
from .workflow import Workflow
from .workflow_models import (
    AgentStepDefinition,
    CommandDefinition,
    CommandStepDefinition,
    ConditionDefinition,
    FunctionDefinition,
    FunctionStepDefinition,
    GroupDefinition,
    LoopDefinition,
    ParallelDefinition,
    PartDefinition,
    RouterDefinition,
    StepDefinition,
    TeamStepDefinition,
    WaitDefinition,
    WorkflowDefinition,
    WorkflowStepDefinition,
)

_A = {"agent": "an agent", "team": "a team", "workflow": "a workflow"}


class WorkflowBuilding(Building):
    """Makes what the definition of a workflow defines, and gathers what is wrong on the way."""

    def workflow(self, definition: WorkflowDefinition) -> Workflow | None:
        """Return the workflow; None where there are `errors`."""
        steps = self._nodes(definition.steps, ("steps",))
        agent = self._agent_of(definition)
        values: dict[str, Any] = {
            "name": self._name(definition.name),
            "description": storable(definition.description),
            "model": definition.model,
            "agent": agent,
            "session_state": without_nulls(self._json("session_state", definition.session_state)),
            "add_workflow_history_to_steps": definition.add_workflow_history_to_steps,
            "num_history_runs": definition.num_history_runs,
            "autogenerate_session_name": definition.autogenerate_session_name,
            "input_schema": self._schema("input_schema", definition.input_schema),
            "params": self._params(definition.params),
            "limits": definition.limits.limits(),
            "budget": definition.budget.budget(),
            "metadata": self._json("metadata", definition.metadata),
        }
        if self.errors:
            return None
        made = self._try(("steps",), lambda: Workflow(steps=steps, **values))
        for wrong in problems(made.nodes, made.takes) if made is not None else ():
            self._wrong(wrong.place, wrong.message, wrong.hint)
        return made

    def _agent_of(self, definition: WorkflowDefinition) -> Defined | None:
        if definition.agent is None:
            return None
        return self._asked(definition.agent, "agent", ("agent",))

    def _nodes(self, parts: Sequence[PartDefinition], place: Place) -> tuple[Node, ...]:
        made = [self._node(part, (*place, number)) for number, part in enumerate(parts)]
        return tuple(node for node in made if node is not None)

    def _node(self, part: PartDefinition, place: Place) -> Node | None:
        """Return a part; None if something of it is wrong."""
        known = len(self._found)
        node = self._part(part, place)
        return node if len(self._found) == known else None

    def _part(self, part: PartDefinition, place: Place) -> Node:
        shared: dict[str, Any] = {
            "name": self._step_name(part.name, place),
            "description": storable(part.description),
        }
        match part:
            case GroupDefinition():
                return Steps(self._nodes(part.steps, (*place, "steps")), **shared)
            case ParallelDefinition():
                return Parallel(self._nodes(part.parallel, (*place, "parallel")), **shared)
            case ConditionDefinition():
                return Condition(
                    self._test(part.if_, (*place, "if")),
                    self._nodes(part.then, (*place, "then")),
                    self._nodes(part.else_ or (), (*place, "else")),
                    **shared,
                )
            case LoopDefinition():
                return Loop(
                    self._nodes(part.loop, (*place, "loop")),
                    until=None if part.until is None else self._test(part.until, (*place, "until")),
                    max_iterations=part.max_iterations,
                    forward=part.forward,
                    **shared,
                )
            case RouterDefinition():
                route = None if part.router is None else self._test(part.router, (*place, "router"))
                return Router(
                    cast(Route | None, route),
                    self._nodes(part.choices, (*place, "choices")),
                    pause=_wait(part),
                    **shared,
                )
            case StepDefinition():
                return self._step(part, place, shared)
            case _:
                raise AssertionError(part)

    def _step(self, part: StepDefinition, place: Place, shared: Mapping[str, Any]) -> Step:
        return Step(
            self._does(part, place),
            input=part.input,
            on_error=part.on_error,
            retries=part.retries,
            stop=part.stop,
            add_workflow_history=part.add_workflow_history,
            num_history_runs=part.num_history_runs,
            pause=self._pause(part, place),
            **shared,
        )

    def _step_name(self, given: str | None, place: Place) -> str | None:
        if given is None:
            return None
        return self._try((*place, "name"), lambda: step_name(storable(given)))

    def _does(self, part: StepDefinition, place: Place) -> Any:
        """Return what a step does; where something of it is wrong, None."""
        match part:
            case AgentStepDefinition():
                return self._asked(part.agent, "agent", (*place, "agent"))
            case TeamStepDefinition():
                return self._asked(part.team, "team", (*place, "team"))
            case WorkflowStepDefinition():
                return self._asked(part.workflow, "workflow", (*place, "workflow"))
            case FunctionStepDefinition():
                return self._function(part.python, (*place, "python"))
            case CommandStepDefinition():
                self._program(part.run, place)
                return Command(
                    tuple(part.run),
                    seconds=part.timeout,
                    env=tuple(part.env),
                    json=part.json_,
                    files=tuple(part.files),
                )
            case _:
                raise AssertionError(part)

    def _asked(
        self, given: str | AgentDefinition | WorkflowDefinition, kind: str, place: Place
    ) -> Defined | None:
        """Return an agent, a team or a workflow: of that name, or defined here."""
        if isinstance(given, str):
            return self._try(place, lambda: self._of_kind(given, kind))
        inner = WorkflowBuilding(self._source, (*self._place, *place))
        made: Defined | None
        if isinstance(given, WorkflowDefinition):
            made = inner.workflow(given)
        else:
            made = inner.agent(given)
        self._found += inner._found
        return made

    def _of_kind(self, name: str, kind: str) -> Defined:
        found = self.named(name, kind)
        if found.kind != kind:
            hint = f"write `{found.kind}: {name}`"
            raise UsageError(f"{name!r} is {_A[found.kind]}, not {_A[kind]}", hint=hint)
        return found

    def _function(self, name: str, place: Place) -> StepFunction | None:
        return self._try(place, lambda: _load_function(name))

    def _test(
        self, given: str | bool | CommandDefinition | FunctionDefinition, place: Place
    ) -> Test:
        if isinstance(given, FunctionDefinition):
            return cast(StepFunction, self._function(given.python, (*place, "python")))
        if isinstance(given, CommandDefinition):
            self._program(given.run, place)
            return Command(tuple(given.run), seconds=given.timeout, env=tuple(given.env))
        return given

    def _program(self, command: list[str], place: Place) -> None:
        # What is named by a way from here may be made by an earlier step.
        if "/" not in command[0] or os.path.isabs(command[0]):
            self._look_for(command, *place, "run")

    def _pause(self, part: StepDefinition, place: Place) -> Pause:
        return replace(
            _wait(part),
            confirmation=part.requires_confirmation,
            review=part.requires_review,
            user_input=self._schema("requires_user_input", part.requires_user_input, place),
        )


def _wait(part: WaitDefinition) -> Pause:
    return Pause(
        message=part.message,
        on_reject=part.on_reject,
        seconds=part.answer_within,
        on_timeout=part.on_timeout,
    )


def _load_function(name: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = load_object(name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot load the function {name!r}: {error}") from None
    if not callable(found):
        raise UsageError(f"{name!r} is no function")
    return found
