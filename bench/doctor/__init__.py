"""``descentbench doctor``: what this machine offers, and what would distort measurements.

`examine.examine` makes all checks. A check yields findings; the modules hold checks by subject.
"""
