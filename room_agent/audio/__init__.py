"""One microphone in, transcripts out; text in, speech out."""
