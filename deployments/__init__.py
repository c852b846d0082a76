"""Answers: the Ray Serve deployments, and the vendors they ask."""
