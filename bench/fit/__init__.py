"""Fit a model: descend, evaluate the loss, save checkpoints, predict, and draw a picture."""
