"""Read chat completion requests: their schemas, history, messages and tools."""
