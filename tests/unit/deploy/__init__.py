"""Checks of the files that deploy the system: images, compose, manifests, release."""
