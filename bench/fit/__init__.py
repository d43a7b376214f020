"""Fit: descend, evaluate the loss, save checkpoints, and draw a picture."""
