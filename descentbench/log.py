"""Define the package's logger; to see its messages, a program configures `logging`."""

from __future__ import annotations

import logging

LOG = logging.getLogger("descentbench")
"""Logger for all messages of the package. DEBUG: each report of a fit. INFO: choices and
progress. WARNING: results that need attention. Nothing is printed unless the program adds a
handler."""

LOG.addHandler(logging.NullHandler())
