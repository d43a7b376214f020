"""``descentbench doctor``: check what this machine offers, and what would distort measurements.

`examine.examine` makes all checks. A check returns findings. Each module holds the checks of
one subject.
"""
