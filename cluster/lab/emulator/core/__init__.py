"""Vendor-independent parts of the emulator: faults, latency, capacity, content."""
