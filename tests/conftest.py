"""Tests use every technique's usual block sizes, and write nothing to the user's folders."""

from __future__ import annotations

import os

os.environ.setdefault("DESCENTBENCH_TUNE", "off")
