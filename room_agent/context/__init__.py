"""Builds the prompt of a turn from the screen memory, remarks and retrieved passages."""
