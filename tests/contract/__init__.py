"""Every vendor's own SDK against the emulator, on a real socket: what it sends is read, what it reads is right."""
