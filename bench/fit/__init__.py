"""Fitting: a descent that evaluates the loss, saves checkpoints, and draws a picture."""
