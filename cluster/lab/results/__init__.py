"""Typed records and tables of the measurements of a run."""
