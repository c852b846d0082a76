"""`rayroom top`: the rooms, models, replicas and spend of a running app, from its Prometheus metrics."""
