"""Everything that a prompt is made of."""
