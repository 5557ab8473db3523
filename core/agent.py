"""An agent: a model with a system prompt, run in a session."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from . import ids
from .answer_schema import check_input
from .approvals import Answers, Decide, pause
from .attachments import Attachment, load
from .chain import Chain, follow, going_on, same_question
from .clock import new_id, new_run_id
from .errors import ConflictError, UsageError
from .events import Event, Listener
from .exchange import Limits, refuse_unpriced
from .history import HistoryPolicy
from .lines import State
from .model import Model
from .models import DEFAULT_MODEL, resolve
from .order import Order, Plan, plan
from .process import Process
from .result import RunOutput
from .runner import Shield, perform
from .session import StateChange
from .settling import refuse_unsettled, settlements
from .state import storable_value
from .store import SessionLog, Store, Waiting
from .templates import Instructions, instruction_text
from .text import storable
from .tools import Tool, by_name
from .unkept import UnkeptLog

_KIND = "agent"


def _ignore(_event: Event) -> None:
    pass


@dataclass(frozen=True)
class Invocation:
    """How a run is made, beside its input: where it belongs, and who is told.

    `system` is said in place of what the agent's own text says; `params` fill that text in;
    `source` is where the agent is defined. `store` None keeps nothing; `keep` False reads the store
    but writes nothing. `session_name` names the session. `serial` takes the session's turn even
    though no history is sent. `resume` is the run to go on with. `decide` says at once whether a
    tool may run that needs approval; `answers` settle what the resumed run is paused for.
    `environment` is what commands that are tools get, `process` who stops the run when it gets
    SIGTERM. `home` is where the embedded models are.
    """

    store: Store | None = None
    session_id: str | None = None
    session_name: str | None = None
    user_id: str = "default"
    run_id: str | None = None
    history: HistoryPolicy | None = None
    files: Sequence[str | Attachment] = ()
    change: StateChange = StateChange()
    system: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    resume: str | None = None
    serial: bool = False
    keep: bool = True
    stream: bool = True
    home: str | None = None
    decide: Decide = pause
    answers: Answers = Answers()
    environment: dict[str, str] = field(default_factory=dict)
    process: Process | None = None
    waiting: Waiting = Waiting()
    on_event: Listener = _ignore
    shield: Shield = nullcontext


@dataclass(frozen=True)
class _Asked:
    """What a call asks, under which run id."""

    run_id: str
    input: str = ""
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class Agent:
    """A model, how it is told to behave, and how much it may use.

    `model` is a name as on the command line, or anything that keeps the `Model` protocol; None is
    the embedded one. `system` and `instructions` are the system message; `{key}` in them stands for
    one of `params` (a name and its default, None where it has to be given), else for the state's.
    `session_state` is what a new session starts with. `add_history_to_context` sends the session's
    earlier completed turns, `num_history_runs` and `num_history_messages` at most so many.
    `input_schema` is a JSON Schema for the prompt, `output_schema` one for the answer.
    """

    model: str | Model | None = None
    name: str | None = None
    description: str = ""
    system: str | None = None
    instructions: str | Sequence[str] = ()
    session_state: State = field(default_factory=dict)
    add_session_state_to_context: bool = False
    enable_agentic_state: bool = False
    add_history_to_context: bool | None = None
    num_history_runs: int | None = None
    num_history_messages: int | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    tools: Sequence[Tool | Callable[..., Any]] = ()
    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    metadata: dict[str, Any] = field(default_factory=dict)

    def run(
        self,
        input: str = "",
        *,
        session_id: str | None = None,
        user_id: str = "default",
        run_id: str | None = None,
        store: Store | None = None,
        add_history_to_context: bool | None = None,
        session_state: State | None = None,
        files: Sequence[str | Attachment] = (),
        on_event: Listener = _ignore,
    ) -> RunOutput:
        """Ask once and return the finished run, also one that failed.

        `raise_for_status` of the result raises the error of a failed run. Without `store` nothing
        is kept; the run has both its ids all the same. `session_state` is merged into the
        session's state. What is raised here (UsageError for a bad id or file, NotFoundError,
        ConflictError, ConfigError, BusyError, StoreError, DamagedError) was found before anything
        was sent to the model.
        """
        on = (
            self.add_history_to_context
            if add_history_to_context is None
            else add_history_to_context
        )
        patch = storable_value(session_state or {}, "session_state")
        return self.invoke(
            input,
            Invocation(
                store=store,
                session_id=session_id,
                user_id=user_id,
                run_id=run_id,
                history=replace(self._policy(), on=bool(on)),
                change=StateChange(patch=patch),
                files=files,
                on_event=on_event,
            ),
        )

    def invoke(self, input: str, how: Invocation) -> RunOutput:
        """Run as `run` does, with every detail in one object."""
        asked, log = self._asked(input, how)
        if how.run_id is None or how.store is None or not how.keep:
            return self._in_turn(asked, log, how)
        with how.store.claim(how.run_id, log.session_id, how.user_id, how.waiting) as claim:
            if claim.session_id != log.session_id:
                raise ConflictError(
                    f"run id {how.run_id!r} is taken, in session {claim.session_id}"
                )
            if ids.is_made_here(how.run_id):
                return self._once(asked, log, how, after=0)
            if claim.fresh:
                return self._in_turn(asked, log, how)
            return self._once(asked, log, how, claim.after)

    def _once(self, asked: _Asked, log: SessionLog, how: Invocation, after: int) -> RunOutput:
        """Run, unless a line after `after` is this run's: then tell, or go on with it."""
        log.recover()
        earlier = follow(log, asked.run_id, after)
        if earlier is None:
            return self._in_turn(asked, log, how)
        files = [item.record for item in asked.files]
        same_question(
            earlier.first,
            input_text=asked.input,
            files=files,
            what=(_KIND, self.name, how.source, how.params or None),
            resumes=how.resume,
        )
        if earlier.done:
            return RunOutput(earlier.tip, repeated=True)
        how = replace(how, resume=asked.run_id, answers=Answers())
        return self._in_turn(_Asked(new_run_id()), log, how)

    def preview(self, input: str, how: Invocation) -> Plan:
        """Return what `invoke` would send now. Writes nothing and waits for nobody."""
        asked, log = self._asked(input, how)
        order = self._order(asked, log, how)
        if how.resume is not None:
            order = replace(order, resumes=going_on(log, how.resume).tip)
        return plan(order, log)

    def _in_turn(self, asked: _Asked, log: SessionLog, how: Invocation) -> RunOutput:
        # A litellm model takes seconds to be loaded: not while others wait for the turn.
        order = self._order(asked, log, how)
        refuse_unpriced(order.model, order.limits)
        serial = order.history.on or how.serial or how.resume is not None
        with log.turn(order.run_id, how.waiting) if serial else nullcontext():
            recovered = log.recover()
            if how.resume is not None:
                chain = going_on(log, how.resume)
                if (going := _going_on(order, chain, how)) is None:
                    return RunOutput(chain.tip, repeated=True)
                order = going
            if how.session_name is not None and how.store is not None and how.keep:
                name = ids.session_name(how.session_name)
                how.store.rename(log.session_id, how.user_id, name)
            result = perform(order, log, how.on_event, how.shield)
        return replace(result, recovered=tuple(recovered), problems=tuple(log.problems))

    def _asked(self, input: str, how: Invocation) -> tuple[_Asked, SessionLog]:
        user = ids.user_id(how.user_id)
        run = ids.run_id(how.run_id) if how.run_id is not None else new_run_id()
        text = storable(input)
        files = tuple(item if isinstance(item, Attachment) else load(item) for item in how.files)
        if how.resume is None and not text.strip() and not files:
            raise UsageError("the prompt is empty", hint="say what to send to the model")
        self._params(how)
        if self.input_schema is not None and how.resume is None:
            check_input(text, self.input_schema)
        return _Asked(run, text, files), self._log(how, user)

    def _order(self, asked: _Asked, log: SessionLog, how: Invocation) -> Order:
        """Return what is to be done; raise NotFoundError for a model nobody has."""
        model = self._model(how)
        return Order(
            model=model,
            run_id=asked.run_id,
            input=asked.input,
            files=asked.files,
            system=storable(how.system) if how.system else None,
            instructions=self._instructions(how),
            agent=how.source,
            given_params=how.params,
            history=replace(how.history or self._policy(), window=model.window),
            change=replace(how.change, initial=self._initial()),
            schema=self.output_schema,
            model_options=storable_value(self.options, "options"),
            limits=self.limits,
            stream=how.stream,
            metadata=storable_value(self.metadata, "metadata") | how.metadata,
            name=self.name,
            tools=self.offered,
            decide=how.decide,
            process=how.process,
            environment=how.environment | self._names(asked, log, how),
        )

    def _instructions(self, how: Invocation) -> Instructions:
        texts = [self.system, instruction_text(self.instructions)]
        text = storable("\n\n".join(filter(None, texts)))
        return Instructions(text, self._params(how), self.add_session_state_to_context)

    def _params(self, how: Invocation) -> dict[str, Any]:
        """Return the params by name; raise UsageError for one that is missing or not known."""
        for name in how.params:
            if name not in self.params:
                known = ", ".join(self.params) or "none"
                raise UsageError(f"no param {name!r}", hint=f"the agent's params are: {known}")
        values = self.params | how.params
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise UsageError(
                f"the agent needs the param {missing[0]!r}", hint=f"give --param {missing[0]}=…"
            )
        return values

    def _initial(self) -> State:
        initial: State = storable_value(self.session_state, "session_state")
        return initial

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The tools that its runs may call."""
        from .agentic_state import UpdateSessionState

        own = [UpdateSessionState()] if self.enable_agentic_state else []
        return (*map(_tool, self.tools), *own)

    @staticmethod
    def _names(asked: _Asked, log: SessionLog, how: Invocation) -> dict[str, str]:
        """Return what a command needs to find the run and, where it is kept, the session."""
        kept = how.store is not None and how.store.keeps and how.keep
        session = {"CLEW_SESSION": log.session_id} if kept else {}
        return {"CLEW_RUN": asked.run_id, "CLEW_USER": log.user_id, **session}

    def _log(self, how: Invocation, user: str) -> SessionLog:
        session = ids.session_id(how.session_id) if how.session_id is not None else None
        if session is None:
            session = ids.session_for(how.run_id) if how.run_id is not None else new_id()
        kept = how.store.session(session, user) if how.store is not None else None
        if kept is not None and how.keep:
            return kept
        return UnkeptLog(session, user, kept)

    def _model(self, how: Invocation) -> Model:
        name = self.model or DEFAULT_MODEL
        if not isinstance(name, str):
            return name
        return resolve(name, store=how.store, user_id=how.user_id, home=how.home)

    def _policy(self) -> HistoryPolicy:
        return HistoryPolicy(
            on=bool(self.add_history_to_context),
            runs=self.num_history_runs,
            messages=self.num_history_messages,
        )


def _tool(tool: Tool | Callable[..., Any]) -> Tool:
    if isinstance(tool, Tool):
        return tool
    from .python_tool import PythonTool

    return PythonTool(tool)


def _going_on(order: Order, chain: Chain, how: Invocation) -> Order | None:
    """Return the order with what it goes on with; None if there is nothing left to do.

    Raises UsageError for a paused run that this does not settle, or that gets a prompt.
    """
    tip = chain.tip
    if (order.input or order.files) and (tip["status"] == "PAUSED" or how.answers.given):
        raise UsageError(
            f"run {tip['run_id']!r} is paused: it takes no prompt before it is settled",
            hint="settle it first, and ask then",
        )
    if not how.answers.given:
        if tip["status"] == "COMPLETED":
            return None
        refuse_unsettled(tip, how.decide)
        return replace(order, resumes=tip)
    settled = settlements(chain, how.answers, by_name(order.tools))
    return replace(order, resumes=tip, settled=settled) if settled else None
