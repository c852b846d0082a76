"""The laboratory: emulator, load tests, simulator and demo. Only cluster.cli.main imports it."""
