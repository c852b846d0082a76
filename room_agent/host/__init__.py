"""The worker's host: its admission of rooms, its use of the machine, and the settings of its processes."""
