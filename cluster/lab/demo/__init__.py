"""Real rooms on one machine: a real SFU, a real Ray, a real backend, simulated models, and the bill reconciled."""
