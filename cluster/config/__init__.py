"""Read and validate serve_config.yaml, keys and the environment of Serve."""
