"""The record of a meeting: its schema, and its form for people."""
