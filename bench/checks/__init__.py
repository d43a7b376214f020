"""Long checks for developers, each run by a nox session such as ``nox -s pick-check``."""
