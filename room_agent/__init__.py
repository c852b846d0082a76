"""Attends: one LiveKit job a room. Sees frames, keeps what changed, knows one address: the router's."""
