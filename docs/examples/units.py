"""An MCP server, written with the SDK: two tools, and no word about clew."""

import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer

server = MCPServer("units")


@server.tool()
def miles(kilometres: float) -> float:
    """Convert kilometres to miles."""
    return round(kilometres * 0.621371, 1)


@server.tool()
def remember(text: str) -> str:
    """Write a line into the traveller's log."""
    with Path("log.txt").open("a") as log:
        log.write(f"{text}\n")
    return "written"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
