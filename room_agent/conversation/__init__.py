"""Decide who is answered, when and how, and answer them."""
