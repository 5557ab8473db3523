"""Where a run belongs, and what options and settings say of any kind of run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clew.core.approvals import Answers

from .app import App
from .run_options import RunOptions

if TYPE_CHECKING:
    from clew.core.defined import Defined
    from clew.core.history import HistoryPolicy
    from clew.core.limits import Limits
    from clew.core.model import Model


@dataclass(frozen=True)
class Target:
    """Where a run belongs, and what it goes on with."""

    user: str
    session_id: str | None
    session_name: str | None = None
    new: bool = False
    history: bool = False
    serial: bool = False
    resume: str | None = None
    answers: Answers = Answers()
    inherited: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """What is to run as options and session want it, how it was named, and what it is told.

    `system` is said in place of its own text. `starts` is what is waited for before there is an
    event. `streams` tells whether its answer is text that people read as it comes.
    """

    what: "Defined"
    history: "HistoryPolicy"
    starts: str
    streams: bool = True
    system: str | None = None
    source: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)


def model_of(
    app: App, target: Target, options: RunOptions, defined: "str | Model | None", kind: str
) -> "str | Model":
    """Return the model to ask; the embedded one is named where nobody asked for it."""
    from clew.core.models import DEFAULT_MODEL

    inherited = target.inherited.get("model")
    if defined is not None and not isinstance(defined, str):
        if options["model"] is None and inherited in (None, defined.name):
            return defined
        defined = defined.name
    name = options["model"] or inherited or own_model(app, defined)
    if options["model"] is not None:
        return str(name)
    if name == DEFAULT_MODEL:
        app.note(f"model {name} (embedded; -m chooses another)")
    elif inherited and wanted(options) is not None and defined not in (None, inherited):
        app.note(f"model {name} (this session's; the {kind}'s is {defined})")
    elif inherited and options["verbose"]:
        app.note(f"model {name} (inherited)")
    return str(name)


def own_model(app: App, defined: "str | Model | None") -> str:
    """Return the model that is asked where nobody wants another one."""
    from clew.core.models import DEFAULT_MODEL

    return name_of(defined) or str(app.settings.value("model") or DEFAULT_MODEL)


def name_of(model: "str | Model | None") -> str | None:
    """Return what a model is called."""
    return model if isinstance(model, str | None) else model.name


def wanted(options: RunOptions) -> tuple[str, str] | None:
    """Return the kind and the name of what is to run, as one option names it."""
    named = {
        kind: name
        for kind, name in (
            ("agent", options["agent"]),
            ("team", options["team"]),
            ("workflow", options["workflow"]),
        )
        if name is not None
    }
    if len(named) > 1:
        from clew.core.errors import UsageError

        raise UsageError(" and ".join(f"--{kind}" for kind in named) + " exclude each other")
    return next(iter(named.items()), None)


def first_said(flag: Any, otherwise: Any) -> Any:
    """Return what an option says, or, where it is not given, something else."""
    return otherwise if flag is None else flag


def limits_of(app: App, options: RunOptions, defined: "Limits") -> "Limits":
    """Return what a run may use: what options say goes before its definition and the settings."""
    from clew.core.limits import Limits

    settings = app.settings
    return Limits(
        seconds=settings.value("timeout", first_said(options["timeout"], defined.seconds)),
        tokens=first_said(options["max_total_tokens"], defined.tokens),
        cost=settings.value("max_cost", first_said(options["max_cost"], defined.cost)),
        turns=first_said(options["max_turns"], defined.turns),
        answer_tokens=first_said(options["max_tokens"], defined.answer_tokens),
        retries=settings.value("retries", first_said(options["retries"], defined.retries)),
        repairs=defined.repairs,
    )


def text_or_file(text: str, what: str) -> str:
    """Return what an option is given: the text, or with @ a file's."""
    from clew.core.answer_schema import read_text

    return read_text(text[1:], what) if text.startswith("@") else text
