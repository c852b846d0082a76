"""Decide who is addressed and whether a question is about the screen."""
