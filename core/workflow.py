"""A workflow: steps that run in a session, each from what the one before has come to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .agent import Agent
from .defined import Defined
from .errors import UsageError
from .history import HistoryPolicy
from .invocation import Asked, Invocation
from .model import Model, ModelReply, ModelRequest, Price
from .models import resolve
from .order import Order, Plan
from .pipeline import Pipeline
from .result import RunOutput
from .session_naming import named_after
from .state import storable_value
from .step_check import check
from .step_flow import Flow, step_spec
from .step_names import named, walk
from .steps import Node, Router, Step, StepFunction, part
from .store import SessionLog
from .team import Team
from .tools import ToolSpec
from .upkeep import Done
from .work import Begun, Work
from .workflow_agent import asking
from .workflow_words import history_of_workflow

_NOTHING = Price(0.0, 0.0)


@dataclass(frozen=True)
class _NoModel:
    """What a run asks whose steps say for themselves whom they ask: nobody."""

    name: str = ""
    window: int | None = None
    price: Price | None = _NOTHING
    takes_schema: bool = True

    def ask(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """Nobody asks."""
        raise AssertionError("a workflow asks no model itself")


@dataclass(frozen=True)
class Workflow(Defined):
    """Steps that run one after the other, and what is told to all of them.

    `steps` are `Step`, `Steps`, `Parallel`, `Condition`, `Loop` and `Router`; a function, an agent,
    a team or a workflow stands for a step that is that. `model` is for agents in steps that say
    none. `add_workflow_history_to_steps` has steps that are runs told of the last
    `num_history_runs` executions of the session that are COMPLETED. `agent` is told of them too,
    and says whether they answer the input, or with which query the steps are to run.
    `autogenerate_session_name` names a session that has no name after the workflow and the time.
    """

    steps: Sequence[Node | Defined | StepFunction] | StepFunction = ()
    model: str | Model | None = None
    add_workflow_history_to_steps: bool | None = None
    num_history_runs: int = 3
    agent: Agent | None = None
    autogenerate_session_name: bool = False

    kind: ClassVar = "workflow"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.agent, Agent | None):
            raise UsageError("the agent of a workflow is an agent, and nothing else")
        given = [self.steps] if callable(self.steps) else list(self.steps)
        if not given:
            raise UsageError("a workflow needs steps")
        object.__setattr__(self, "steps", named(list(map(part, given))))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its parts, each with a name of its own."""
        return self.steps  # type: ignore[return-value]

    @property
    def history_policy(self) -> HistoryPolicy:
        """How many earlier executions its steps are told of, where nobody says otherwise."""
        on = bool(self.add_workflow_history_to_steps)
        return HistoryPolicy(on=on, runs=self.num_history_runs)

    @property
    def tends(self) -> bool:
        """Whether something is wanted of a session after a run."""
        return self.autogenerate_session_name

    def tend(self, result: RunOutput, how: Invocation) -> Iterator[Done]:
        """Have the session named after a run that is completed and stored; no model is asked."""
        completed = result.status == "COMPLETED" and not result.repeated
        stored = result.store_error is None and result.line["seq"] is not None
        if how.store is not None and self.tends and completed and stored:
            yield named_after(self.description or self.name or "workflow", result, how.store)

    def order(self, asked: Asked, log: SessionLog, how: Invocation) -> Order:
        """Return what is to be done; raise NotFoundError for a model nobody has."""
        nodes = self._fitted(how)
        agent = self._asked_first(nodes)
        policy = how.history or self.history_policy
        orders = [
            each.order(Asked("-"), log, each.inside(how, log)) for each in _run_by((*agent, *nodes))
        ]
        flow = Flow(
            nodes,
            how,
            self.values(how),
            lambda most: history_of_workflow(log, most, policy.of),
            policy.on,
            self.num_history_runs if policy.runs is None else policy.runs,
            agent[0] if agent else None,
        )

        def work(order: Order, _planned: Plan, begun: Begun) -> Work:
            return Pipeline(flow, order, begun)

        return Order(
            model=resolved(self.model, how),
            run_id=asked.run_id,
            input=asked.input,
            files=asked.files,
            agent=how.source,
            given_params=how.params,
            change=how.change._replace(initial=self.initial_state()),
            limits=self.limits,
            budget=self.budget,
            stream=how.stream,
            metadata=storable_value(self.metadata, "metadata") | how.metadata,
            name=self.name,
            kind="workflow",
            decide=how.decide,
            process=how.process,
            environment=how.environment | self.names(asked, log, how),
            models_inside=tuple(
                model for each in orders for model in (*each.models, *each.models_inside)
            ),
            tools_inside=_tools_of(orders),
            step_specs=_specs(nodes),
            tells_history=policy.on or self.agent is not None,
            work=work,
        )

    def check(self, input: str, how: Invocation) -> None:
        """Raise UsageError for params or an input that do not fit."""
        for name in how.params:
            if name not in self.takes:
                known = ", ".join(sorted(self.takes)) or "none"
                raise UsageError(f"no param {name!r}", hint=f"the workflow's params are: {known}")
        check(self.nodes, self.takes)
        super().check(input, how.with_params(self.params))
        if how.resume is not None and input.strip():
            raise UsageError(
                "a workflow goes on with its own input: it takes no prompt",
                hint="`clew continue` without --resume runs it anew",
            )
        for each in self._runs:
            each.check("", replace(how.with_params(each.takes), resume=""))

    @property
    def lacks_model(self) -> bool:
        """Whether something in it would ask a model that nobody has named."""
        inside = _run_by((*self._asked_first(self.nodes), *self.nodes))
        return self.model is None and any(
            each.lacks_model if isinstance(each, Workflow) else each.model is None
            for each in inside
            if isinstance(each, Agent | Workflow)
        )

    @property
    def takes(self) -> frozenset[str]:
        """The names of the params that may be given, also those of what its steps run."""
        return frozenset(self.params).union(*(each.takes for each in self._runs))

    @property
    def _runs(self) -> list[Defined]:
        """What runs inside it."""
        return [*([self.agent] if self.agent else []), *_run_by(self.nodes)]

    def _fitted(self, how: Invocation) -> tuple[Node, ...]:
        """Return the parts as they run: agents without a model, or a name, get them."""
        return tuple(_fitted(node, self.model) for node in self.nodes)

    def _asked_first(self, nodes: tuple[Node, ...]) -> tuple[Step, ...]:
        """Return the step that asks the workflow's agent, if it has one."""
        if self.agent is None:
            return ()
        about = ": ".join(filter(None, (self.name, self.description)))
        return (_fitted_step(asking(self.agent, about, nodes), self.model),)


def resolved(model: str | Model | None, how: Invocation) -> Model:
    """Return the model that is asked for; if none is, what nobody asks."""
    if model is None:
        return _NoModel()
    if not isinstance(model, str):
        return model
    return resolve(model, store=how.store, user_id=how.user_id, home=how.home)


def _fitted(node: Node, model: str | Model | None) -> Node:
    if isinstance(node, Step):
        return _fitted_step(node, model)
    changed: dict[str, Any] = {
        key: tuple(_fitted(each, model) for each in getattr(node, key))
        for key in ("steps", "then", "else_", "choices")
        if hasattr(node, key)
    }
    return replace(node, **changed)


def _fitted_step(step: Step, model: str | Model | None) -> Step:
    does = step.does
    if not isinstance(does, Agent | Team | Workflow):
        return step
    fitted = replace(does, model=does.model or model, name=does.name or step.name)
    return replace(step, does=fitted)


def _run_by(nodes: Sequence[Node]) -> list[Defined]:
    """Return what these have run: agents, teams, workflows."""
    steps = [part for part in walk(nodes) if isinstance(part, Step)]
    return [step.does for step in steps if isinstance(step.does, Defined)]


def _specs(nodes: Sequence[Node]) -> dict[str, ToolSpec]:
    return {
        str(part.name): step_spec(part) for part in walk(nodes) if isinstance(part, Step | Router)
    }


def _tools_of(orders: Sequence[Order]) -> dict[str, Any]:
    """Return the tools of all that the steps run, by name; None where only servers know."""
    tools: dict[str, Any] = {}
    for order in orders:
        tools[str(order.name)] = order.known_tools
        tools |= {f"{order.name}/{inner}": known for inner, known in order.tools_inside.items()}
    return tools
