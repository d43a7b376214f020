"""Sources of rows: synthetic data and files, read in blocks."""
