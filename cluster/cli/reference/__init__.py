"""Write docs/reference.md: every command, setting, environment variable and route."""
