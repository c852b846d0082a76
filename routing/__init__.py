"""Decides: which tier answers, what it costs, who may ask. Plain Python; imports no other package of rayroom."""
