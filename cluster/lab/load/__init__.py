"""Drive a scenario against a real app and record the result."""
