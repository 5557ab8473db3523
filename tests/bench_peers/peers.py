"""What each program is called with, for everything that is measured."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from .process import Command
from .world import World, program

Words = Sequence[str | Path] | None
"""A command line; None where the program is not installed."""
_WHERE = {
    "clew": ("clew", "clew"),
    "codex": ("npm", "codex"),
    "claude": ("npm", "claude"),
    "llm": ("llm", "llm"),
    "sgpt": ("sgpt", "sgpt"),
    "gptme": ("gptme", "gptme"),
    "agno": ("agno", "python"),
    "openai-agents": ("agents", "python"),
    "litellm": ("clew", "python"),
    "openai": ("agno", "python"),
    "python": ("clew", "python"),
}
COLD, WARM = "clew, cold", "clew, warm"


class Peers:
    """Makes commands; a name is one of the peers', or that of clew cold or warm."""

    def __init__(self, world: World) -> None:
        self._world = world

    def here(self, *names: str) -> list[str]:
        """Return those that are installed."""
        return [name for name in names if program(*_WHERE[name.partition(",")[0]]) is not None]

    def command(
        self, name: str, *arguments: str | Path, slow: bool = False, cwd: Path | None = None
    ) -> Command:
        """Return a call of a program with these arguments."""
        path = program(*_WHERE[name.partition(",")[0]])
        assert path is not None, f"{name} is not installed"
        env = self._world.env(slow=slow) | {"CLEW_WARM": "1" if name == WARM else "0"}
        return Command([path, *arguments], env, cwd or self._world.work)

    def one_off(self, name: str, prompt: str = "hi", *, slow: bool = False) -> Command:
        """Return a call that asks once, as a person would without a session in mind."""
        arguments: dict[str, list[str | Path]] = {
            COLD: ["run", "-q", prompt],
            WARM: ["run", "-q", prompt],
            "codex": ["exec", "--skip-git-repo-check", prompt],
            "claude": ["-p", "--model", "test-model", prompt],
            "llm": ["-m", "test-model", prompt],
            "sgpt": ["--no-cache", prompt],
            "gptme": [
                *("--model", "local/test-model", "--tools", "none", "--no-workspace"),
                *("--system", "short", prompt, "-", "/exit"),
            ],
            "agno": [self._world.script("AGNO"), prompt, self._file("agno"), uuid4().hex],
            "openai-agents": [
                self._world.script("AGENTS"),
                prompt,
                self._file("agents"),
                uuid4().hex,
            ],
            "litellm": [self._world.script("LITELLM"), prompt],
            "openai": [self._world.script("OPENAI"), prompt],
        }
        if name == "claude" and slow:
            arguments[name] += ["--output-format", "stream-json", "--verbose"]
            arguments[name] += ["--include-partial-messages"]
        return self.command(name, *arguments[name], slow=slow)

    def go_on(self, name: str, session: str, prompt: str = "go on") -> Command:
        """Return a call that goes on with a session, and sends all of it."""
        arguments: dict[str, list[str | Path]] = {
            COLD: ["continue", "-q", "-s", session, prompt],
            WARM: ["continue", "-q", "-s", session, prompt],
            "codex": ["exec", "resume", "--skip-git-repo-check", session, prompt],
            "claude": ["-p", "--model", "test-model", "--resume", session, prompt],
            "llm": ["-m", "test-model", "--cid", session, prompt],
            "agno": [self._world.script("AGNO"), prompt, self._file("agno"), session],
        }
        return self.command(name, *arguments[name])

    def _file(self, name: str) -> Path:
        return self._world.home / f"{name}.db"
