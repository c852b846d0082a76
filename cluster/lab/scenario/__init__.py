"""Scenarios: who joins when, and what the rooms do and show."""
