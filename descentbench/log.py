"""Define the logger of this package."""

from __future__ import annotations

import logging

LOG = logging.getLogger("descentbench")
"""Logger for all messages of the package, with these levels:

- DEBUG: each report of a fit;
- INFO: choices and progress;
- WARNING: results that need attention.

Messages are printed only after the program has configured `logging`, for example with
``logging.basicConfig(level="INFO")``.
"""

LOG.addHandler(logging.NullHandler())
