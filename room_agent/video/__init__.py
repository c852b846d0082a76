"""One video track in, kept frames out."""
