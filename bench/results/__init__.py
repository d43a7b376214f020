"""Results: benchmark cases, records, the store, and statistics."""
