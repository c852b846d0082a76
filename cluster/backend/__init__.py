"""The company's backend, and the embedded one that replaces it."""
