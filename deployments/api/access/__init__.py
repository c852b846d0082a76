"""Access to the API: keys, room tokens and signed dispatches."""
