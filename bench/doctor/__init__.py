"""``descentbench doctor``: check what this machine offers, and what would distort measurements.

`examine.examine` runs all checks. Each check returns findings (`finding.Finding`).
"""
