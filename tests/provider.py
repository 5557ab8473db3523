"""A provider for tests: it speaks the OpenAI chat-completions protocol, as well or badly as told.

    with Provider() as provider:
        provider.answer("hello there", delay=0.1)  # the first request gets this,
        provider.answer(fault="reset_mid")  # the second breaks after half of its words,
        ...  # and all others have their last user message echoed: provider.default
        assert provider.requests[0].body["model"] == "test-model"

Each request has a connection of its own, and each body is sent in chunked frames: a stream has one
frame per word, any other body has two, its halves. So a fault means the same to both.

By hand, `python -m tests.provider` prints its URL and serves until its standard input closes.
"""

import json
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

Json = dict[str, Any]

Fault = Literal[
    "hang",  # never answer; the connection stays open until the client leaves or the server stops
    "reset_before",  # RST instead of headers
    "reset_headers",  # RST after the headers
    "reset_mid",  # RST after half of the words
    "eof_mid",  # a well-formed end after half of the words: no finish reason, no [DONE]
    "eof_in_line",  # the same, but in the middle of an SSE line
    "cut_chunked",  # the connection closes inside a chunked frame, after half of the words
    "no_done",  # a stream that ends after its finish reason, without [DONE]
    "bad_json",  # a garbled SSE line after half of the words; a garbled document
    "error_event",  # an error object after half of the words; in place of the document, status 200
    "empty_choices",  # every `choices` is []
    "drip",  # one character per `delay`, 1000 times; as a document: 1000 spaces, then the reply
    "redirect",  # 307 to headers["location"]
]

GATE_SECONDS = 120.0  # how long a closed gate may hold a reply
DRIPS = 1000  # how many characters "drip" sends
READING_SECONDS = 0.05  # for the client to read what was sent: an RST may discard what was not read

ERRORS = {  # by status: message, type and code, as OpenAI words them
    401: ("Incorrect API key provided", "invalid_request_error", "invalid_api_key"),
    404: ("The model does not exist", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached", "requests", "rate_limit_exceeded"),
}


@dataclass(frozen=True)
class Request:
    """One request, as it arrived; `started` is a time.monotonic()."""

    path: str
    headers: dict[str, str]  # the names in lower case
    body: Json
    started: float


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    text: str | None = None  # None echoes the last user message; an error has it as its message
    fault: Fault | None = None
    delay: float = 0.0  # seconds between frames
    wait: float = 0.0  # seconds before the headers
    gate: threading.Event | None = None  # held after the first frame until this is set
    finish_reason: str | None = "stop"  # None: a stream has no such chunk
    usage: Json | Literal["counted"] | None = "counted"  # in words; None: not reported
    tool_calls: Sequence[Json] = ()  # as in an OpenAI message; a stream has one chunk for each
    status: int = 200  # from 300 on, the reply is an error document
    headers: Mapping[str, str] = field(default_factory=dict)  # added, or put in place of ours
    body: bytes | None = None  # raw, in place of all that would be sent
    echo_key: bool = False  # an error's message repeats the Authorization header


class Provider:
    """The server: a context manager, or start() and stop(); it serves once."""

    def __init__(self) -> None:
        self.default: Answer | Callable[[Json], Answer] = Answer()
        self._queue: deque[Answer] = deque()
        self._requests: list[Request] = []
        self._arrival = threading.Condition()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuse connections and drop those that are open; replies under way are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._server.connections:
            with suppress(OSError):  # most are closed already
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """The base URL, for OPENAI_API_BASE."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in order of arrival."""
        with self._arrival:
            return list(self._requests)

    def wait_for_requests(self, n: int, timeout: float = 120.0) -> list[Request]:
        """Wait until `n` requests have arrived, and return all there are."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self._requests) >= n, timeout):
                raise TimeoutError(f"{len(self._requests)} of {n} requests after {timeout} s")
            return list(self._requests)

    def answer(self, text: str | None = None, **options: Any) -> None:
        """Queue an Answer made of these for the next request that has none yet."""
        self._queue.append(Answer(text, **options))

    def receive(self, request: Request) -> Answer:
        """Record a request, and tell what it gets."""
        with self._arrival:
            self._requests.append(request)
            self._arrival.notify_all()
            answer = self._queue.popleft() if self._queue else self.default
        return answer if isinstance(answer, Answer) else answer(request.body)


class _Server(ThreadingHTTPServer):
    """Lets its handlers reach the provider, and the provider their connections."""

    request_queue_size = 128

    def __init__(self, provider: Provider) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.connections: list[socket.socket] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # an OSError: the client left, as it may
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and sends what the provider has for it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.server.connections.append(self.connection)
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, json.loads(body or b"{}"), time.monotonic())
        answer = self.server.provider.receive(request)
        time.sleep(answer.wait)
        match answer.fault:
            case "hang":
                while self.connection.recv(1024):
                    pass
            case "reset_before":
                self._reset()
            case "redirect":
                self._reply(replace(answer, status=307), request)
            case _:
                self._reply(answer, request)

    def _reply(self, answer: Answer, request: Request) -> None:
        streamed = request.body.get("stream") and answer.status < 300 and answer.body is None
        self._send_headers(answer, "text/event-stream" if streamed else "application/json")
        half, rest = _stream(answer, request.body) if streamed else _document(answer, request)
        for number, frame in enumerate(filter(None, _spoilt(answer.fault, half, rest))):
            if number > 0:
                time.sleep(answer.delay)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(frame), frame))
            if number == 0 and answer.gate:
                answer.gate.wait(GATE_SECONDS)
        match answer.fault:
            case "reset_headers" | "reset_mid":
                self._reset()
            case "cut_chunked":
                self.wfile.write(b'100\r\ndata: {"id": ')
            case _:
                self.wfile.write(b"0\r\n\r\n")

    def _send_headers(self, answer: Answer, content_type: str) -> None:
        headers = {"content-type": content_type, "connection": "close"}
        headers |= {name.lower(): value for name, value in answer.headers.items()}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _reset(self) -> None:
        time.sleep(READING_SECONDS)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # it holds the connection open
        self.connection.close()


def _spoilt(fault: Fault | None, half: list[bytes], rest: list[bytes]) -> list[bytes]:
    """The frames to send, of those that were due."""
    match fault:
        case "reset_headers":
            return []
        case "reset_mid" | "eof_mid" | "cut_chunked":
            return half
        case "eof_in_line":
            return [*half, b'data: {"id": "chatcmpl']
        case "bad_json":
            return [*half, b'data: {"id": garbled\n\n', *rest]
        case _:
            return half + rest


def _stream(answer: Answer, body: Json) -> tuple[list[bytes], list[bytes]]:
    """The frames of a streamed reply, an event each: half of the words, and the rest."""

    def chunk(delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        choices = [] if answer.fault == "empty_choices" else [choice]
        return _event(_completion(body, "chat.completion.chunk", choices))

    words = [chunk({"role": "assistant"} | delta) for delta in _deltas(answer, body)]
    middle = (len(words) + 1) // 2
    if answer.fault == "error_event":
        return words[:middle], [_event(_error(500))]
    rest = words[middle:]
    if answer.finish_reason:
        rest.append(chunk({}, answer.finish_reason))
    usage = _usage(answer, body)
    if usage and (body.get("stream_options") or {}).get("include_usage"):
        rest.append(_event(_completion(body, "chat.completion.chunk", []) | {"usage": usage}))
    if answer.fault != "no_done":
        rest.append(b"data: [DONE]\n\n")
    return words[:middle], rest


def _document(answer: Answer, request: Request) -> tuple[list[bytes], list[bytes]]:
    """The frames of a reply that is not streamed: the halves of its body."""
    body = json.dumps(_content(answer, request)).encode() if answer.body is None else answer.body
    if answer.fault == "drip":
        return [b" "] * DRIPS, [body]
    middle = len(body) // 2
    return [body[:middle]], [body[middle:]]


def _content(answer: Answer, request: Request) -> Json:
    """What the document of a reply says."""
    if answer.status >= 300:
        sent = f": {request.headers.get('authorization')}" if answer.echo_key else ""
        return _error(answer.status, answer.text, sent)
    if answer.fault == "error_event":
        return _error(500)
    message: Json = {"role": "assistant", "content": _text(answer, request.body)}
    if answer.tool_calls:
        message["tool_calls"] = list(answer.tool_calls)
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    choices = [] if answer.fault == "empty_choices" else [choice]
    usage = _usage(answer, request.body)
    document = _completion(request.body, "chat.completion", choices)
    return document | ({"usage": usage} if usage else {})


def _completion(body: Json, kind: str, choices: list[Json]) -> Json:
    head = {"id": "chatcmpl-test", "object": kind, "created": int(time.time())}
    return head | {"model": body.get("model"), "choices": choices}


def _error(status: int, text: str | None = None, suffix: str = "") -> Json:
    usual = responses.get(status, "Unknown error"), "server_error", None
    message, kind, code = ERRORS.get(status, usual)
    error = {"message": (text or message) + suffix, "type": kind, "param": None, "code": code}
    return {"error": error}


def _event(data: Json) -> bytes:
    return b"data: %b\n\n" % json.dumps(data).encode()


def _deltas(answer: Answer, body: Json) -> list[Json]:
    """What the chunks of a stream add, one by one: the words, then the tool calls."""
    text = _text(answer, body) or ""
    words = re.findall(r"\S+\s*|\s+", text)
    if answer.fault == "drip":
        words = list((text * DRIPS)[:DRIPS])
    calls = [{"index": index, **call} for index, call in enumerate(answer.tool_calls)]
    return [{"content": word} for word in words] + [{"tool_calls": [call]} for call in calls]


def _text(answer: Answer, body: Json) -> str | None:
    """The text of a reply; a reply that calls tools may have none."""
    if answer.text is not None or answer.tool_calls:
        return answer.text
    asked = [_said(message) for message in body.get("messages", ()) if message["role"] == "user"]
    return "echo: " + "".join(asked[-1:])


def _said(message: Json) -> str:
    """The text of a message, whose content may be a string, a list of parts, or null."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _usage(answer: Answer, body: Json) -> Json | None:
    if answer.usage != "counted":
        return answer.usage
    prompt = sum(len(_said(message).split()) for message in body.get("messages", ()))
    completion = len((_text(answer, body) or "").split())
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return counts | {"total_tokens": prompt + completion}


def main() -> None:
    with Provider() as provider:
        print(provider.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
