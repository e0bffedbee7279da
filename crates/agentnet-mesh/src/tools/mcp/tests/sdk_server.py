"""An MCP server of the official Python SDK (`mcp` 2.3.0), for tests: sdk_server.py stdio|PORT LOG."""

import asyncio
import pathlib
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("official")
transport, log = sys.argv[1], pathlib.Path(sys.argv[2])


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fails."""
    raise ToolError("the disk is full")


@server.tool()
async def slow() -> str:
    """Runs until it is cancelled."""
    log.write_text("tools/call\n")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        log.write_text("slow was cancelled\n")
        raise
    return "ended"


if transport == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(transport))
