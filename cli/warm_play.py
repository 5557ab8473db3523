"""Runs as people make them, of a model that is a small server on loopback: nothing of the user's is
asked, read or written."""

import json
import os
import secrets
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SECONDS = 60
"""After which all of it is given up, and with it the process that plays."""
_CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_USED = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_MODEL = ("-m", "openai/gpt-4o-mini")
_RUNS = (
    ("run", "-s", "s", *_MODEL, "--stream", "hi"),
    ("continue", "-s", "s", "--no-stream", "hi"),
    ("run", *_MODEL, "--schema", "a int", "--json", "hi"),
    ("run", *_MODEL, "--tool", "{run: ['true']}", "-o", "stream-json", "hi"),
    ("run", "-m", "openai/no-such-model", "-q", "hi"),
    ("run", "-m", "anthropic/claude-3-5-haiku-latest", "--retries", "0", "hi"),
)


def play() -> None:
    """Make them."""
    from .main import main

    for arguments in _RUNS:
        with suppress(BaseException):
            main(arguments)


@contextmanager
def stage() -> Iterator[dict[str, str]]:
    """Have a world to play in; yield its environment. What was there before is there again then."""
    before = dict(os.environb)
    signal.alarm(_SECONDS)
    with (
        tempfile.TemporaryDirectory() as folder,
        _provider() as url,
        _same_stdout(),
        chdir(folder),
        warnings.catch_warnings(),  # what is told once is to be told again
    ):
        world = _world(folder, url)
        try:
            os.environb.clear()
            os.environ.update(world)
            yield world
        finally:
            os.environb.clear()
            os.environb.update(before)
            signal.alarm(0)


@contextmanager
def _same_stdout() -> Iterator[None]:
    """Have stdout be what it was, after runs that put another one in its place."""
    stream, file = sys.stdout, os.dup(1)
    try:
        yield
    finally:
        if sys.stdout is not stream:
            sys.stdout.close()
        sys.stdout = stream
        os.dup2(file, 1)
        os.close(file)


def _world(folder: str, url: str) -> dict[str, str]:
    """Return an environment in which nothing but this folder and this model is to be found."""
    unreachable = "http://127.0.0.1:9"
    return {
        "PATH": os.defpath,
        "HOME": folder,
        "CLEW_HOME": os.path.join(folder, "home"),
        "CLEW_WARM": "0",
        "OPENAI_API_BASE": url,
        "OPENAI_API_KEY": secrets.token_urlsafe(),
        "ANTHROPIC_API_BASE": unreachable,
        "ANTHROPIC_API_KEY": secrets.token_urlsafe(),
    }


@contextmanager
def _provider() -> Iterator[str]:
    """Have a provider, in a process of its own: whoever plays is to have no thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Model)
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(_SECONDS)
            server.serve_forever()
        finally:
            os._exit(0)
    server.server_close()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


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
