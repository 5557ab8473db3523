"""Making a run in a process that is thrown away, to learn what a run loads on its way.

The model is a small server on loopback, in that same process. Threads, connections and whatever
else a run leaves behind go with it.
"""

import json
import linecache
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from typing import Any

_SECONDS = 60.0
_CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_USED = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


@dataclass(frozen=True)
class Learned:
    """What runs need that is not there before the first of them, in the order of its making."""

    modules: list[str]
    models: list[tuple[str, str]]
    """Classes of pydantic's, module and name, that are made only when they are first used."""
    sources: list[str]
    """Files of code that were read."""


def rehearse() -> Learned:
    """Make a few runs, in a process that is thrown away, and tell what they came to need."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            with open(theirs, "w", encoding="utf-8") as report:
                json.dump(_learn(), report)
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8") as report:
        text = report.read()
    os.waitpid(child, 0)
    modules, models, sources = json.loads(text or "[[], [], []]")
    return Learned(modules, [(module, name) for module, name in models], sources)


def _learn() -> tuple[list[str], list[tuple[str, str]], list[str]]:
    _play()
    made = {(each.__module__, each.__qualname__): None for each in _models(complete=True)}
    return list(sys.modules), list(made), list(linecache.cache)


def _models(*, complete: bool) -> Iterator[Any]:
    """Yield all classes of pydantic's that are made, or are not."""
    from pydantic import BaseModel

    left: list[Any] = [BaseModel]
    while left:
        below = left.pop().__subclasses__()
        left += below
        yield from (each for each in below if each.__pydantic_complete__ is complete)


def prepare(learned: Learned) -> None:
    """Have all of that here."""
    for name in learned.modules:
        if name not in sys.modules:
            with suppress(Exception):  # made up by somebody, or not to be had without a run
                import_module(name)
    wanted = set(learned.models)
    for model in list(_models(complete=False)):
        if (model.__module__, model.__qualname__) in wanted:
            with suppress(Exception):
                model.model_rebuild()
    for path in learned.sources:
        linecache.getlines(path)


class _Model(BaseHTTPRequestHandler):
    """A provider that says a word."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = {"role": "assistant", "content": '{"a": 1}'}
        choice = {"index": 0, "finish_reason": None, "delta": said}
        last = {"index": 0, "finish_reason": "stop"}
        if body.get("stream"):
            frames = [[choice], [{**last, "delta": {}}]]
            lines = [json.dumps({**_CHUNK, "choices": each}) for each in frames]
            lines += [json.dumps({**_CHUNK, "choices": [], "usage": _USED}), "[DONE]"]
            self._send("text/event-stream", "".join(f"data: {line}\n\n" for line in lines))
            return
        whole = {**last, "message": said}
        self._send("application/json", json.dumps({**_CHUNK, "choices": [whole], "usage": _USED}))

    def _send(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def _play() -> None:
    """Make runs as people make them."""
    import signal

    from .main import main

    signal.alarm(int(_SECONDS))
    server = HTTPServer(("127.0.0.1", 0), _Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(_world(folder, f"http://127.0.0.1:{server.server_port}/v1"))
        os.chdir(folder)
        model = ("-m", "openai/gpt-4o-mini")
        for arguments in (
            ("run", "-s", "s", *model, "--stream", "hi"),
            ("continue", "-s", "s", "--no-stream", "hi"),
            ("run", *model, "--schema", "a int", "--json", "hi"),
            ("run", *model, "--tool", "{run: ['true']}", "-o", "stream-json", "hi"),
            ("run", "-m", "anthropic/claude-3-5-haiku-latest", "--retries", "0", "hi"),
        ):
            with suppress(BaseException):
                main(arguments)


def _world(folder: str, url: str) -> dict[str, Any]:
    """Return an environment in which nothing but this folder and this model is to be found."""
    unreachable = "http://127.0.0.1:9"
    return {
        "CLEW_HOME": os.path.join(folder, "home"),
        "CLEW_WARM": "0",
        "XDG_CONFIG_HOME": os.path.join(folder, "config"),
        "OPENAI_API_BASE": url,
        "OPENAI_API_KEY": secrets.token_urlsafe(),
        "ANTHROPIC_API_BASE": unreachable,
        "ANTHROPIC_API_KEY": secrets.token_urlsafe(),
        "NO_PROXY": "127.0.0.1",
    }
