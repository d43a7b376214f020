"""Checks for developers that compare descentbench with other programs."""
