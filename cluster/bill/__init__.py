"""The bill: sums of the cost journal by tenant, room, person and day, its exports, and its reconciliation."""
