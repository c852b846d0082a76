"""Record costs: a reservation before each attempt, a settlement after it, sealed windows for the backend."""
