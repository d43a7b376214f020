"""Fitting: a descent with looks at the loss, checkpoints, and a picture."""
