"""The files of the cost journal: tables and migrations, the lock, windows, month files, running sums."""
