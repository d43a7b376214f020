"""Write the report: one offline page with all measurements and a calculator."""
