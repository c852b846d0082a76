"""Serve one request: decide, fail over, meter, retrieve and format."""
