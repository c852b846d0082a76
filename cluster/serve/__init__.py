"""Run the Serve app as one process: check that it can start, deploy it, and stop it in order."""
