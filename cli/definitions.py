"""What is meant to run: a name in a trusted folder or the user's own, a file, a Python object."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from glob import glob
from typing import TYPE_CHECKING

from clew.core.errors import ConfigError, NotFoundError, UsageError
from clew.core.loading import NAME

from .app import App
from .trust import AGENTS, config_folder, nearest_folder, why_ignored

if TYPE_CHECKING:
    from clew.core.agent import Agent
    from clew.core.defined import Defined

_SUFFIX = ".yaml"


@dataclass(frozen=True)
class Definition:
    """An agent, a team or a workflow, and what finds it again from any folder."""

    agent: "Defined"
    source: str

    @property
    def agent_or_team(self) -> "Agent":
        """What it is, if it is not a workflow; raises UsageError otherwise."""
        from clew.core.agent import Agent

        if isinstance(self.agent, Agent):
            return self.agent
        raise UsageError(f"{self.agent.name!r} is a {self.agent.kind}, not an agent or a team")


def find(app: App, wanted: str, kind: str = "agent") -> Definition:
    """Return the agent that `--agent` means, the team that `--team` does, and so on.

    Raises NotFoundError if there is none, UsageError if its definition is wrong.
    """
    if NAME.fullmatch(wanted):
        from clew.core.building import load_defined

        return Definition(load_defined(wanted, kind), wanted)
    path = path_of(app, wanted, kind)
    from clew.core.definitions import load_file

    return Definition(load_file(path, member_finder(app, path)), os.path.abspath(path))


def member_finder(app: App, path: str) -> Callable[[str, str], str]:
    """Return what finds by name what a definition names: beside its file, else as -a does."""
    folder = os.path.dirname(os.path.abspath(path))
    is_checked = folder.endswith(os.path.join(".clew", AGENTS))  # what is in there may not count

    def found(name: str, kind: str) -> str:
        beside = os.path.join(folder, f"{name}{_SUFFIX}")
        return path_of(app, name, kind) if is_checked or not os.path.exists(beside) else beside

    return found


def find_again(app: App, source: str, kind: str) -> Definition:
    """Return the agent, or whatever else of this kind, that a session was run with.

    A folder that is trusted no longer is not read behind its user's back: ConfigError.
    """
    agents, name = os.path.split(source)
    folder = os.path.dirname(agents)
    if (os.path.basename(folder), os.path.basename(agents)) == (".clew", AGENTS):
        parts = (AGENTS, os.path.join(AGENTS, name))
        reason = why_ignored(folder, parts, trust_once=app.settings.trust_once)
        if reason is not None and os.path.exists(source):
            raise ConfigError(
                f"this session's {kind} is in {folder}, which is ignored: {reason}",
                hint="see `clew config trust`; or name another one: -a, --team, --workflow",
            )
    try:
        return find(app, source, kind)
    except NotFoundError as error:
        hint = f"--{kind} names another one, or the same in its new place"
        raise NotFoundError(f"this session's {kind} is gone: {error.message}", hint=hint) from None


def path_of(app: App, wanted: str, kind: str = "agent") -> str:
    """Return the file that a name, or a path, means; raise NotFoundError for an unknown name."""
    if "/" in wanted or wanted.endswith((_SUFFIX, ".yml")):
        return wanted
    known = by_name(app)
    if wanted not in known:
        near = get_close_matches(wanted, known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else _places(known)
        raise NotFoundError(f"there is no {kind} {wanted!r}", hint=hint)
    return known[wanted]


def _places(known: Mapping[str, str]) -> str:
    if known:
        return f"there are: {', '.join(known)}"
    own = os.path.join(config_folder(), AGENTS, f"NAME{_SUFFIX}")
    return f"agents are in .clew/{AGENTS}/NAME{_SUFFIX}, or in {own}"


def by_name(app: App) -> dict[str, str]:
    """Return the files of all agents by name: the trusted folder's go before the user's own."""
    known: dict[str, str] = {}
    for path in (*_folder_files(app), *_yaml_in(os.path.join(config_folder(), AGENTS))):
        known.setdefault(os.path.basename(path).removesuffix(_SUFFIX), path)
    return dict(sorted(known.items()))


def _folder_files(app: App) -> Iterator[str]:
    folder = nearest_folder(AGENTS)
    if folder is None:
        return
    reason = why_ignored(folder, [AGENTS], trust_once=app.settings.trust_once)
    if reason is not None:
        app.note_once(f"{folder} is ignored: {reason} (see `clew config trust`)")
        return
    for path in _yaml_in(os.path.join(folder, AGENTS)):
        part = os.path.join(AGENTS, os.path.basename(path))
        reason = why_ignored(folder, [part], trust_once=app.settings.trust_once)
        if reason is None:
            yield path
        else:
            app.note(f"{path} is ignored: {reason}")


def _yaml_in(folder: str) -> list[str]:
    return sorted(os.path.join(folder, name) for name in glob(f"*{_SUFFIX}", root_dir=folder))
