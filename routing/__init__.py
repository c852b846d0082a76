"""Routing decisions in plain Python, without I/O: tier, price, rate, retry. It imports no other package here."""
