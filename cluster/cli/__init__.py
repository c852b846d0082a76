"""The `rayroom` command."""
