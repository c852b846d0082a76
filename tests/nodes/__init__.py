"""Tests that start clusters of their own, of several nodes too: minutes, so `make nodes` runs them."""
