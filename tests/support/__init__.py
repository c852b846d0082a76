"""Code that more than one floor of tests uses."""
