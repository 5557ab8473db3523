"""Where the programs that are measured live: folders of their own, a loopback server, no keys."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

from . import scripts

FOLDER = Path(sys.executable).parents[1] / "peers"
_QUIET = {
    "AGNO_TELEMETRY": "false",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
"""What keeps peers from asking the network for anything else than an answer."""
_SGPT = {
    "DEFAULT_MODEL": "test-model",
    "OPENAI_USE_FUNCTIONS": "false",
    "PRETTIFY_MARKDOWN": "false",
    "SHELL_INTERACTION": "false",
    "USE_LITELLM": "false",
}
_CODEX = """\
model = "test-model"
model_provider = "bench"
approval_policy = "never"
sandbox_mode = "read-only"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.bench]
name = "bench"
base_url = "{url}"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
"""
_LLM = '- model_id: test-model\n  model_name: test-model\n  api_base: "{url}"\n'


class World:
    """The folders, the server, and the environment that all programs get."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        for each in (self.home, self.work, self.folder / "run"):
            each.mkdir(parents=True, mode=0o700)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench_peers.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._server.stdout.readline())}"
        self._configure()
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def env(self, *, slow: bool = False) -> dict[str, str]:
        """Return the environment of every program; `slow` has a word come each 20 ms."""
        address = f"{self.address}/slow" if slow else self.address
        url = f"{address}/v1"
        node = Path(shutil.which("node") or "/usr/bin/node").parent
        return {
            "PATH": f"{node}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_API_BASE": url,
            "OPENAI_BASE_URL": url,
            "API_BASE_URL": url,
            "ANTHROPIC_API_KEY": "sk-bench",
            "ANTHROPIC_BASE_URL": address,
            "CLEW_HOME": str(self.home / "clew"),
            "CLEW_MODEL": "openai/test-model",
            "LLM_USER_PATH": str(self.home / ("llm-slow" if slow else "llm")),
            "CODEX_HOME": str(self.home / ("codex-slow" if slow else "codex")),
            "CLAUDE_CONFIG_DIR": str(self.home / "claude"),
            "TIKTOKEN_CACHE_DIR": str(_tokenizers()),
            **_QUIET,
            **_SGPT,
        }

    def seen(self) -> dict[str, Any]:
        """Return what the server was asked since it was last asked this."""
        with urllib.request.urlopen(f"{self.address}/seen") as response:
            found: dict[str, Any] = json.load(response)
            return found

    def script(self, name: str) -> Path:
        """Return the file of one of `scripts`."""
        path = self.folder / f"ask_{name.lower()}.py"  # `litellm.py` would be imported
        path.write_text(getattr(scripts, name))
        return path

    def _configure(self) -> None:
        for slow in (False, True):
            env = self.env(slow=slow)
            codex, llm = Path(env["CODEX_HOME"]), Path(env["LLM_USER_PATH"])
            codex.mkdir()
            llm.mkdir()
            (codex / "config.toml").write_text(_CODEX.format(url=env["OPENAI_BASE_URL"]))
            (llm / "extra-openai-models.yaml").write_text(_LLM.format(url=env["OPENAI_BASE_URL"]))


def _tokenizers() -> Path:
    """Return litellm's copy of a file that gptme would otherwise fetch."""
    import importlib.util

    found = importlib.util.find_spec("litellm")
    assert found is not None and found.origin is not None
    return Path(found.origin).with_name("litellm_core_utils") / "tokenizers"


def program(peer: str, name: str) -> Path | None:
    """Return an installed program of a peer; None if that was not installed."""
    folder = FOLDER / "npm" / "node_modules" / ".bin" if peer == "npm" else FOLDER / peer / "bin"
    path = folder / name
    return path if os.access(path, os.X_OK) else None
