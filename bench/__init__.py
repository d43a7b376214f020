"""Benchmarks of the backends: measuring, results, verdicts, reports and recommendations."""
