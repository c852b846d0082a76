"""Serve the requests of rooms: route, fail over, meter, retrieve and format."""
