"""Microphone tracks in, transcripts out; text in, speech out."""
