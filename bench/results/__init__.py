"""Results: a case, its record, the store, and statistics of them."""
