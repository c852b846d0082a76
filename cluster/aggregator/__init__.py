"""The cost aggregator actor and the client that each replica uses."""
