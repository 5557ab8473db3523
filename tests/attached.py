"""What can be attached, in as few bytes as possible, and a server to fetch it from."""

import io
import threading
import wave
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4)
        return len(data).to_bytes(4) + kind + data + check

    head = bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])
    pixel = chunk(b"IDAT", zlib.compress(b"\0\xff"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixel + chunk(b"IEND", b"")


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"\0\x10" * 160)
    return file.getvalue()


PNG = _png()
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9"
GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
WEBP = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0/\0\0\0\x10\7\x10\x11\x11\x88\x88\xfe\7\0"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
WAV = _wav()
MP3 = b"\xff\xfb\x90\x00" + bytes(413)
TAGGED_MP3 = b"ID3\4\0\0\0\0\0\0" + MP3


class Pages:
    """A web server on loopback: each path has an answer, which writes what it likes."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self._answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.headers.append({k.lower(): v for k, v in self.headers.items()})
                pages._answers[self.path](self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def page(
        self,
        path: str,
        body: bytes = b"",
        status: int = 200,
        promised: int | None = None,
        **headers: str,
    ) -> str:
        """Have `body` at a path, and return its URL; `promised` is the length that is told."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            if promised != -1:
                handler.send_header("Content-Length", str(promised or len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        return self.answer(path, answer)

    def answer(self, path: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        """Have a path answered so, and return its URL."""
        self._answers[path] = answer
        return f"http://{self.host}{path}"
