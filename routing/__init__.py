"""Routing decisions in plain Python, without I/O: tier, price, rate, retry. It imports no other package here."""

VERSION = "1.0.0"
"""The version of rayroom: the package, the command and the API's document read it here."""
