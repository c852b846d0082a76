"""Draw and write the HTML report of a run."""
