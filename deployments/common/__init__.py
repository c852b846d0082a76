"""Settings and streaming helpers that every deployment uses."""
