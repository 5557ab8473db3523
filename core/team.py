"""A team: a leader that has its members work, in the session that they share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar, get_args

from .agent import Agent
from .clock import new_id, new_run_id
from .delegation import DelegateTask, Members
from .errors import UsageError
from .invocation import Asked, Invocation
from .lines import State
from .messages import ToolCall
from .order import Order
from .records import ToolRecord
from .state import merge
from .store import SessionLog
from .task_list import tasks_done
from .task_tools import ExecuteTask, agenda, task_tools
from .team_words import Mode, delegated, history_of_team, interactions, introduction
from .text import quoted
from .tools import DELEGATE, TEAM_TOOLS, Tool, ToolSpec


@dataclass(frozen=True)
class Team(Agent):
    """An agent that leads others: each task that it gives a member is a run of that member.

    `members` are agents or teams, each with a name of its own; one without a model has the
    leader's. In the `mode` coordinate the leader picks members, words their tasks, and answers from
    what they say; in route the answer of the member that it picks is the answer; in broadcast all
    members are asked at once what the team was asked, and the leader answers from what they say.
    In tasks it sets up a list of tasks, has members do them, and is asked to go on until none is
    left, or it has answered `max_iterations` times.
    `add_team_history_to_members` tells members the session's last `num_team_history_runs`
    exchanges, `share_member_interactions` what other members were asked and said in the same run.
    """

    members: Sequence[Agent] = ()
    mode: Mode = "coordinate"
    add_team_history_to_members: bool = False
    num_team_history_runs: int = 3
    share_member_interactions: bool = False
    max_iterations: int = 10

    kind: ClassVar = "team"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in get_args(Mode):
            modes = ", ".join(get_args(Mode))
            raise UsageError(f"a team's mode is one of {modes}, not {quoted(self.mode)}")
        for key in ("num_team_history_runs", "max_iterations"):
            count = getattr(self, key)
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise UsageError(f"a team's {key} is 1 or more, not {quoted(count)}")
        self._check_members()

    def _check_members(self) -> None:
        """Raise UsageError unless the members are agents, each with a name of its own."""
        members: object = self.members
        if isinstance(members, str) or not isinstance(members, Sequence):
            given = quoted(members)
            raise UsageError(f"a team's members are a list of agents and teams, not {given}")
        if not members:
            raise UsageError("a team needs members")
        for member in members:
            if not isinstance(member, Agent):
                given = quoted(member)
                raise UsageError(f"a member of a team is an Agent or a Team, not {given}")
            if member.name is None:
                raise UsageError("a member of a team needs a name")
        names = [member.name for member in self.members]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two members of the team are called {name!r}")

    @property
    def takes(self) -> frozenset[str]:
        """The names of the params that may be given: the leader's and the members'."""
        return frozenset(self.params).union(*(member.takes for member in self.members))

    def initial_state(self) -> State:
        """Return what a new session starts with: the team's goes before its members'."""
        states = (each.initial_state() for each in self.members)
        return merge(reduce(merge, states, {}), super().initial_state())

    def check(self, input: str, how: Invocation) -> None:
        """Raise UsageError for params or, in a new run, an input that do not fit."""
        for name in how.params:
            if name not in self.takes:
                known = ", ".join(sorted(self.takes)) or "none"
                raise UsageError(f"no param {name!r}", hint=f"the team's params are: {known}")
        super().check(input, how.with_params(self.params))
        for member in self.members:
            member.check("", replace(how.with_params(member.takes), resume=""))

    def order(self, asked: Asked, log: SessionLog, how: Invocation) -> Order:
        """Return what is to be done; raise NotFoundError for a model nobody has."""
        order = super().order(asked, log, how.with_params(self.params))
        for tool in order.tools:
            if tool.spec.name in TEAM_TOOLS:
                taken = f"a team's leader has a tool {tool.spec.name!r} of its own"
                raise UsageError(taken, hint="`name` renames a tool")
        members = {str(member.name): self._member(member) for member in self.members}
        orders = {
            name: member.order(Asked(new_run_id()), log, member.inside(how, log))
            for name, member in members.items()
        }
        at_work = Members(
            members,
            lambda name: members[name].inside(how, log),
            lambda ended: self._before(ended, log),
        )
        asks_all = self.mode == "broadcast"
        return replace(
            order,
            kind="team",
            given_params=how.params,
            tools=(*order.tools, *self._tools(at_work)),
            agenda=agenda(self.max_iterations) if self.mode == "tasks" else None,
            instructions=replace(order.instructions, postscript=self._introduction()),
            opening=tuple(map(_ask, members)) if asks_all else (),
            may_call=not asks_all or bool(order.tools or order.servers),
            models_inside=tuple(
                model for each in orders.values() for model in (*each.models, *each.models_inside)
            ),
            tools_resuming=(DelegateTask(at_work), ExecuteTask(at_work)),
            tools_inside=_tools_of(orders),
        )

    def _tools(self, members: Members) -> Sequence[Tool]:
        """Return the tools with which the leader has members work."""
        if self.mode == "tasks":
            return task_tools(members)
        is_answer, shares_input = self.mode == "route", self.mode == "broadcast"
        return [DelegateTask(members, is_answer=is_answer, shares_input=shares_input)]

    def _introduction(self) -> str:
        described = {str(each.name): " ".join(each.description.split()) for each in self.members}
        return introduction(described, self.mode)

    def _member(self, member: Agent) -> Agent:
        """Return a member as it works here: one without a model has the leader's."""
        schema = self.output_schema if self.mode == "route" else None
        return replace(
            member,
            model=member.model or self.model,
            output_schema=member.output_schema or schema,
        )

    def _before(self, ended: Sequence[ToolRecord], log: SessionLog) -> str:
        """Return what a member is told ahead of its task."""
        told = ""
        if self.add_team_history_to_members:
            told += history_of_team(log, self.num_team_history_runs)
        if self.share_member_interactions:
            done = tasks_done(ended) if self.mode == "tasks" else delegated(ended)
            told += interactions(done)
        return told


def _ask(name: str) -> ToolCall:
    """Return a call that has a member do what the team was asked."""
    arguments = json.dumps({"member_id": name}, ensure_ascii=False)
    return {
        "id": f"call_{new_id()}",
        "type": "function",
        "function": {"name": DELEGATE, "arguments": arguments},
    }


def _tools_of(orders: Mapping[str, Order]) -> dict[str, Mapping[str, ToolSpec] | None]:
    """Return the tools of all members, and of theirs; None where only their servers know."""
    tools: dict[str, Mapping[str, ToolSpec] | None] = {}
    for name, order in orders.items():
        tools[name] = order.known_tools
        tools |= {f"{name}/{inner}": known for inner, known in order.tools_inside.items()}
    return tools
