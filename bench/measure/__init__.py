"""Measurements: plans, child processes, rounds of steps, and checks of w."""
