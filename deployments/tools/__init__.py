"""The tools of a room: their MCP servers and backend procedures, called within limits and billed."""
