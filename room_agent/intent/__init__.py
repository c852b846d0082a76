"""Decide the addressee of an utterance."""
