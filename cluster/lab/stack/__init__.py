"""Start and stop the processes of a local stack."""
