"""Counts money: an intent before each attempt, a settlement after it, a sealed total to the backend."""
