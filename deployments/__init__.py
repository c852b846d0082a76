"""The Ray Serve deployments: the router, the model replicas, and their vendors."""
