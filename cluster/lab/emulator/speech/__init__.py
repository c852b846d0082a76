"""The wire protocols of the speech vendors."""
