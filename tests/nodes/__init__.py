"""Tests that start their own clusters, some of several nodes. They take minutes; `make nodes` runs them."""
