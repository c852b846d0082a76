"""Every vendor's own SDK against the emulator, on a real socket."""
