"""Meters the speech sent to vendors, journals it, and turns it into events that the router bills once."""
