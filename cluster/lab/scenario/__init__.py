"""Scenarios: when rooms open and close, and the activity and screens in them."""
