"""Checks for developers: of picks, comparisons and scaling, by long measurements."""
