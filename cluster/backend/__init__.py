"""The company's backend, and what stands in for it."""
