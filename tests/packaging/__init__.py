"""Checks of images, packages, compose file and manifests that fetch schemas or install packages. `make packaging`."""
