"""Requests of OpenAI's Responses API, which are answered as chats."""
