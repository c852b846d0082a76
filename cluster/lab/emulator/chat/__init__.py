"""The wire protocols of the chat and embedding vendors."""
