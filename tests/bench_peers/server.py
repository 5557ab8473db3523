"""A provider on loopback that answers at once, in the three protocols that the peers speak.

It takes chat completions, OpenAI's responses, and Anthropic's messages, streamed and whole. An
address that begins with /slow streams a word each 20 ms. GET /seen tells how many requests there
were since it was last asked, and which numbered prompts the last one had.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Events = Iterator[tuple[str | None, Json | str]]

WORDS = [f"word{number} " for number in range(20)]
PAUSE = 0.02
PROMPT = re.compile(rb"prompt-\d+-\d+")
"""What a bench asks whose answers have to be found again."""


class _Seen:
    """What was asked so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._bodies: list[bytes] = []

    def add(self, body: bytes) -> None:
        with self._lock:
            self._requests += 1
            self._bodies[:] = [body]

    def take(self) -> Json:
        with self._lock:
            requests, self._requests = self._requests, 0
            body = b"".join(self._bodies)
        found = sorted({match.decode() for match in PROMPT.findall(body)})
        return {
            "requests": requests,
            "bytes": len(body),
            "messages": body.count(b'"role"'),
            "prompts": found,
        }


def _chat(model: str) -> Events:
    base = {"id": "chat-1", "created": 1, "model": model, "object": "chat.completion.chunk"}
    for number, word in enumerate(WORDS):
        delta = {"content": word} | ({"role": "assistant"} if number == 0 else {})
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield None, {**base, "choices": [choice]}
    yield None, {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield None, {**base, "choices": [], "usage": _CHAT_USAGE}
    yield None, "[DONE]"


def _chat_whole(model: str) -> Json:
    message = {"role": "assistant", "content": "".join(WORDS)}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _CHAT_USAGE,
    }


_CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def _responses_whole(model: str, status: str = "completed") -> Json:
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": model,
        "output": [_output()] if status == "completed" else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 30,
        },
    }


def _output(text: str | None = None) -> Json:
    said = "".join(WORDS) if text is None else text
    part = {"type": "output_text", "text": said, "annotations": []}
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _responses(model: str) -> Events:
    place = {"item_id": "msg-1", "output_index": 0, "content_index": 0}
    said: list[Json] = [
        {"type": "response.created", "response": _responses_whole(model, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": _output("")},
        *({"type": "response.output_text.delta", **place, "delta": word} for word in WORDS),
        {"type": "response.output_item.done", "output_index": 0, "item": _output()},
        {"type": "response.completed", "response": _responses_whole(model)},
    ]
    for number, event in enumerate(said):
        yield event["type"], {**event, "sequence_number": number}


def _messages_whole(model: str) -> Json:
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 20},
    }


def _messages(model: str) -> Events:
    begun = _messages_whole(model) | {"content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    yield "message_start", {"type": "message_start", "message": begun}
    yield (
        "content_block_start",
        {"type": "content_block_start", "index": 0, "content_block": block},
    )
    for word in WORDS:
        delta = {"type": "text_delta", "text": word}
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"output_tokens": 20}
    yield "message_delta", {"type": "message_delta", "delta": ended, "usage": usage}
    yield "message_stop", {"type": "message_stop"}


_PROTOCOLS = {
    "/chat/completions": (_chat, _chat_whole),
    "/responses": (_responses, _responses_whole),
    "/messages": (_messages, _messages_whole),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/seen":
            self._send(200, json.dumps(self.server.seen.take()).encode())
        elif path.endswith("/models"):
            self._send(200, b'{"object": "list", "data": [], "models": []}')
        else:
            self._send(404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        end = next((end for end in _PROTOCOLS if path.endswith(end)), None)
        if end is None:
            self._send(200 if path.endswith("/count_tokens") else 404, b'{"input_tokens": 10}')
            return
        self.server.seen.add(body)
        streamed, whole = _PROTOCOLS[end]
        model = re.search(rb'"model": ?"([^"]*)"', body)
        name = model[1].decode() if model else "test-model"
        if re.search(rb'"stream": ?true', body):
            self._stream(streamed(name), PAUSE if path.startswith("/slow") else 0.0)
        else:
            self._send(200, json.dumps(whole(name)).encode())

    def _stream(self, events: Events, pause: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        gathered = b""
        for kind, event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            frame = (f"event: {kind}\n" if kind else "") + f"data: {data}\n\n"
            raw = frame.encode()
            gathered += b"%x\r\n%s\r\n" % (len(raw), raw)
            if pause:
                self.wfile.write(gathered)
                gathered = b""
                time.sleep(pause)
        self.wfile.write(gathered + b"0\r\n\r\n")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen = _Seen()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave."""


def main() -> None:
    """Print the port, and serve until standard input ends."""
    server = _Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
