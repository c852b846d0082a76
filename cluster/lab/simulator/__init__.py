"""How many replicas: policies, and a simulator that runs Ray's own."""
