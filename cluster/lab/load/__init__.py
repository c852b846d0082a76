"""How many rooms: scenarios, load, reports."""
