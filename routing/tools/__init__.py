"""The tools of a tenant's agent: its record of them, their names, and their limits."""
