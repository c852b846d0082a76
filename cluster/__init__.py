"""Runs: assembles the app, counts money, talks to the backend, scales, loads, reports."""
