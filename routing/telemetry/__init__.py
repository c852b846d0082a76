"""The names of everything that an operator sees: metrics, log fields and spans."""
