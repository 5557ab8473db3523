"""How a run is asked for: what, where it belongs, and who is told."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from .approvals import Answers, Decide, pause
from .attachments import Attachment, Source
from .events import Event, Listener
from .history import HistoryPolicy
from .process import Process
from .runner import Shield
from .session import StateChange
from .store import Store, Waiting


def ignore(_event: Event) -> None:
    """Tell nobody."""


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
    files: Sequence[Source] = ()
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
    on_event: Listener = ignore
    shield: Shield = nullcontext

    def with_params(self, names: Collection[str]) -> "Invocation":
        """Return how it is called with these params only."""
        return replace(self, params={k: v for k, v in self.params.items() if k in names})


@dataclass(frozen=True)
class Asked:
    """What a call asks, under which run id."""

    run_id: str
    input: str = ""
    files: tuple[Attachment, ...] = ()
