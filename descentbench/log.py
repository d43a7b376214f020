"""The logger of the package: a program that wants the messages configures `logging`."""

from __future__ import annotations

import logging

LOG = logging.getLogger("descentbench")
"""Logger of all calls: DEBUG for each report, INFO for choices and progress, WARNING for
results that need attention. Without a handler of the program's own, nothing is printed."""

LOG.addHandler(logging.NullHandler())
