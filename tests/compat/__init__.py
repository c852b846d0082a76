"""`make compat`: other people's clients and suites against the app and the emulator."""
