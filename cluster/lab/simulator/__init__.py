"""A simulator of rooms and replicas in virtual time, with Ray's own autoscaling policies."""
