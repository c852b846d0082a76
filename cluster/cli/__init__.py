"""The command line `rayroom`."""
