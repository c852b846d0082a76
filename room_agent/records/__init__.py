"""The record of a meeting: written while it goes on, and sent to the router at its end."""
