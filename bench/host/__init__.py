"""The machine and its processes: their properties, limits, and disturbances."""
