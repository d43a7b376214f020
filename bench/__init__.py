"""Benchmark the backends: measure, store results, compare, report and recommend."""
