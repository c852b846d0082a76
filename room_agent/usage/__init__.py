"""Count, journal and recover the speech usage that a room is billed for."""
