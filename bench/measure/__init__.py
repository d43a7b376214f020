"""Measure: plan a run, start child processes, time steps, and check the results."""
