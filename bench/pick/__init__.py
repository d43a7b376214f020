"""Choosing a backend: cost models, what to measure next, and the recommendation."""
