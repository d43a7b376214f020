"""Programs for developers that compare descentbench with other libraries."""
