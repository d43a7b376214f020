"""Choose a backend: cost models, the planner of measurements, and the recommendation."""
