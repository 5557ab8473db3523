"""An agent: a model with a system prompt, run in a session."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from .defined import Defined
from .history import HistoryPolicy, UseOfSummary
from .invocation import Asked, Invocation
from .model import Model
from .models import DEFAULT_MODEL, resolve
from .order import Order
from .result import RunOutput
from .state import storable_value
from .store import SessionLog, Store
from .templates import Instructions, instruction_text
from .text import storable
from .tools import Tool, ToolServer
from .upkeep import Done, Job, Wishes, tend


@dataclass(frozen=True)
class Agent(Defined):
    """A model, how it is told to behave, and how much it may use.

    `model` is a name as on the command line, or anything that keeps the `Model` protocol; None is
    the embedded one. `fallback_models` are asked, one after the other, when it is not to be had.
    `system` and `instructions` are the system message; `{key}` in them stands for
    one of `params` (a name and its default, None where it has to be given), else for the state's.
    `session_state` is what a new session starts with. `add_history_to_context` sends the session's
    earlier completed turns, `num_history_runs` and `num_history_messages` at most so many, with
    the newest `max_tool_calls_from_history` of their tool calls.
    `tool_call_limit` is how many calls of `tools` a run makes: the model is told of more.
    `read_chat_history` and `search_past_sessions` let the model look up earlier turns, of its
    session and of its user's others, by tools.
    `enable_session_summaries` has a summary made after a run, when the turns that are in none pass
    `summary_tokens`; it stands for turns that are not sent. `autogenerate_session_name` names the
    session. `input_schema` is a JSON Schema for the prompt, `output_schema` one for the answer.
    """

    model: str | Model | None = None
    fallback_models: Sequence[str | Model] = ()
    system: str | None = None
    instructions: str | Sequence[str] = ()
    add_session_state_to_context: bool = False
    enable_agentic_state: bool = False
    add_history_to_context: bool | None = None
    num_history_runs: int | None = None
    num_history_messages: int | None = None
    max_tool_calls_from_history: int | None = None
    read_chat_history: bool = False
    search_past_sessions: bool = False
    num_past_sessions_to_search: int = 20
    num_past_session_runs_in_search: int = 3
    enable_session_summaries: bool = False
    add_session_summary_to_context: bool | None = None
    summary_model: str | Model | None = None
    summary_tokens: int | None = None
    autogenerate_session_name: bool = False
    output_schema: dict[str, Any] | None = None
    tools: Sequence[Tool | ToolServer | Callable[..., Any]] = ()
    tool_call_limit: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    kind: ClassVar = "agent"

    @property
    def tends(self) -> bool:
        """Whether something is wanted of a session after a run."""
        return self.enable_session_summaries or self.autogenerate_session_name

    def tend(self, result: RunOutput, how: Invocation) -> Iterator[Done]:
        """Have name and summary made, as far as wanted, after a run that is completed and stored.

        Each is made when it is asked for; what came of it is yielded, a failure too.
        """
        completed = result.status == "COMPLETED" and not result.repeated
        stored = result.store_error is None and result.line["seq"] is not None
        if how.store is None or not self.tends or not (completed and stored):
            return iter(())
        log = how.store.session(result.session_id, result.line["user_id"])
        wishes = Wishes(
            self.enable_session_summaries, self.summary_tokens, self.autogenerate_session_name
        )
        return tend(how.store, log, lambda: self._job(result, how), wishes, result.metrics)

    def _job(self, result: RunOutput, how: Invocation) -> Job:
        return Job(
            model=self._asked_after(result, how),
            limits=self.limits,
            budget=self.budget,
            options=self.options if self.summary_model is None else {},
            stream=how.stream,
            by=result.run_id,
            listener=how.on_event,
            shield=how.shield,
        )

    def _asked_after(self, result: RunOutput, how: Invocation) -> Model:
        """Return who makes summary and name: as the run, its fallback if the first was down."""
        if self.summary_model is not None:
            return _resolved(self.summary_model, how)
        own, *others = (_resolved(each, how) for each in (self._first, *self.fallback_models))
        calls = result.metrics["details"]
        stood_in = (each for each in others if calls and each.name == calls[-1]["model"])
        return next(stood_in, own)

    @property
    def _first(self) -> str | Model:
        return self.model or DEFAULT_MODEL

    def order(self, asked: Asked, log: SessionLog, how: Invocation) -> Order:
        """Return what is to be done; raise NotFoundError for a model nobody has."""
        model = _resolved(self._first, how)
        fallbacks = tuple(_resolved(each, how) for each in self.fallback_models)
        windows = [each.window for each in (model, *fallbacks)]
        window = min((each for each in windows if each is not None), default=None)
        return Order(
            model=model,
            fallbacks=fallbacks,
            run_id=asked.run_id,
            input=asked.input,
            files=asked.files,
            system=storable(how.system) if how.system else None,
            instructions=self._instructions(how),
            agent=how.source,
            given_params=how.params,
            history=replace(how.history or self.history_policy, window=window),
            change=how.change._replace(initial=self.initial_state()),
            schema=self.output_schema,
            model_options=storable_value(self.options, "options"),
            limits=self.limits,
            budget=self.budget,
            stream=how.stream,
            metadata=storable_value(self.metadata, "metadata") | how.metadata,
            name=self.name,
            tools=self.offers(log, how.store),
            tool_call_limit=self.tool_call_limit,
            servers=self.servers,
            decide=how.decide,
            process=how.process,
            environment=how.environment | self.names(asked, log, how),
        )

    def _instructions(self, how: Invocation) -> Instructions:
        texts = [self.system, instruction_text(self.instructions)]
        text = storable("\n\n".join(filter(None, texts)))
        return Instructions(text, self.values(how), self.add_session_state_to_context)

    def offers(self, log: SessionLog | None = None, store: Store | None = None) -> tuple[Tool, ...]:
        """Return the tools that a run of this session may call, beside those of its servers."""
        from .agentic_state import UpdateSessionState

        own = [UpdateSessionState()] if self.enable_agentic_state else []
        given = (_tool(each) for each in self.tools if not isinstance(each, ToolServer))
        return (*given, *own, *self._lookups(log, store))

    def _lookups(self, log: SessionLog | None, store: Store | None) -> Iterator[Tool]:
        if not self.read_chat_history and not self.search_past_sessions:
            return
        from .past import Past, ReadChatHistory, ReadPastSession, SearchPastSessions

        past = Past(log, store)
        if self.read_chat_history:
            yield ReadChatHistory(past)
        if self.search_past_sessions:
            most = (self.num_past_sessions_to_search, self.num_past_session_runs_in_search)
            yield SearchPastSessions(past, *most)
            yield ReadPastSession(past)

    @property
    def servers(self) -> tuple[ToolServer, ...]:
        """The servers that have more tools: which ones is known when they run."""
        return tuple(each for each in self.tools if isinstance(each, ToolServer))

    @property
    def history_policy(self) -> HistoryPolicy:
        """What it sends of the earlier turns, where nobody says otherwise."""
        return HistoryPolicy(
            on=bool(self.add_history_to_context),
            runs=self.num_history_runs,
            messages=self.num_history_messages,
            tool_calls=self.max_tool_calls_from_history,
            summary=self.use_of_summary,
        )

    @property
    def use_of_summary(self) -> UseOfSummary:
        """When the session's summary is sent."""
        if self.add_session_summary_to_context is None:
            return "for_what_is_left_out" if self.enable_session_summaries else "never"
        return "always" if self.add_session_summary_to_context else "never"


def _resolved(model: str | Model, how: Invocation) -> Model:
    if not isinstance(model, str):
        return model
    return resolve(model, store=how.store, user_id=how.user_id, home=how.home)


def _tool(tool: Tool | Callable[..., Any]) -> Tool:
    if isinstance(tool, Tool):
        return tool
    from .python_tool import PythonTool

    return PythonTool(tool)
