"""Tests of the process that runs the app."""
