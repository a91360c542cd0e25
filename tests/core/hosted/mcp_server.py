"""An MCP server with a few tools, run as a process of its own."""

import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("sums")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("secret inside")


@server.tool()
def long(size: int) -> str:
    """Says much."""
    return "x" * size


@server.tool()
def who(context: Context) -> str:
    """Tells which token was sent."""
    return context.headers.get("authorization", "nobody")


server.run(transport="streamable-http", port=int(sys.argv[1]))
