"""The report: one offline page of what was measured, and a calculator on it."""
