"""Tools that the gateway runs itself: web search, and the tools of MCP servers."""
