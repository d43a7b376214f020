"""Checks for developers that compare the package with other programs."""
