"""Decide the addressee of an utterance, and whether a question is about the screen."""
