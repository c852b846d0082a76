"""`rayroom check`: probe every vendor with the configured keys."""
