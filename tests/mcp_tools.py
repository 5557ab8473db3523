"""A real MCP server, written with the SDK: on its standard streams, or, as `mcp_tools.py http`, on
a port of loopback that it prints."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

server = MCPServer("tests")
WHERE = ("CLEW_HOME", "CLEW_USER", "CLEW_SESSION", "CLEW_RUN", "COLOUR", "MY_TOKEN")


@server.tool()
def add(a: int, b: int = 2) -> int:
    """Add {a} and $b."""
    return a + b


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def note(text: str) -> str:
    """Write a line into the file `notes`."""
    with Path("notes").open("a") as file:
        file.write(f"{text}\n")
    return "noted"


@server.tool(structured_output=False)
def where(name: str = "") -> str:
    """Tell the environment."""
    if name:
        return os.environ.get(name, "(none)")
    found = [f"{each}={os.environ[each]}" for each in WHERE if each in os.environ]
    return "\n".join([os.getcwd(), *found])


@server.tool(structured_output=False)
def pid() -> str:
    """Tell the process."""
    return str(os.getpid())


@server.tool(structured_output=False)
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(why)


@server.tool()
def fail_quietly() -> CallToolResult:
    """Fail without a word."""
    return CallToolResult(content=[], is_error=True)


@server.tool()
def die(code: int, words: str) -> str:
    """End the server in the middle of a call."""
    print(words, file=sys.stderr, flush=True)
    os._exit(code)


@server.tool(structured_output=False)
def hang() -> str:
    """Start a child, and never return."""
    child = subprocess.Popen(["sleep", "1000"])
    Path("child").write_text(str(child.pid))
    Path("own").write_text(str(os.getpid()))
    Path("called").write_text("x")
    time.sleep(1000)
    return ""


@server.tool(structured_output=False)
def flood(count: int) -> str:
    """Return very much."""
    return "x" * count


@server.tool(structured_output=False)
def smile(lead: int) -> str:
    """Return many characters of four bytes."""
    return "a" * lead + "\N{GRINNING FACE}" * 20_000


@server.tool(structured_output=False)
def garble() -> str:
    """Write what is no message, on both streams."""
    os.write(1, b"this is no message\n\xff\xfe\n{}\n[1]\n")
    os.write(2, b"loud " * 400_000)
    return "well"


@server.tool(structured_output=False)
def picture() -> Image:
    """Return an image."""
    return Image(data=b"12345", format="png")


@server.tool()
def mixed() -> CallToolResult:
    """Return all kinds of content."""
    text = TextResourceContents(uri="file:///a.txt", text="in a file", mime_type="text/plain")
    blob = BlobResourceContents(uri="file:///b.bin", blob="AAAA", mime_type="a/b")
    return CallToolResult(
        content=[
            TextContent(type="text", text="one"),
            AudioContent(type="audio", data="AAA=", mime_type="audio/wav"),
            EmbeddedResource(type="resource", resource=text),
            EmbeddedResource(type="resource", resource=blob),
            ResourceLink(type="resource_link", name="c", uri="file:///c.txt"),
        ]
    )


@server.tool()
def data(text: str, content: dict[str, Any]) -> CallToolResult:
    """Return text, and structured content."""
    said = TextContent(type="text", text=text)
    return CallToolResult(content=[said] if text else [], structured_content=content)


@server.tool(structured_output=False)
def clew(arguments: list[str]) -> str:
    """Call clew."""
    done = subprocess.run(
        ["clew", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@server.tool(name="a.b/c", structured_output=False)
def strange() -> str:
    """Have a name that no model takes."""
    return "strange"


@server.tool(name="n" * 100, structured_output=False)
def long() -> str:
    """Have a name that is too long."""
    return "long"


def serve() -> None:
    """Serve streamable HTTP on a free port of loopback, and print its address."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app()
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    if sys.argv[1:] == ["http"]:
        serve()
    elif sys.argv[1:]:  # a file that this start leaves a trace in
        with Path(sys.argv[1]).open("a") as trace:
            trace.write(f"{os.getpid()}\n")
        server.run()
    else:
        server.run()
