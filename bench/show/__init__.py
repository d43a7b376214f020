"""Write results as text and tables."""
