"""A finding of ``doctor``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One finding of ``doctor``.

    Attributes
    ----------
    topic : str
        The checked part of the machine, such as "memory".
    found : str
        What the check found.
    level : {"good", "note", "bad"}
        bad: it distorts results now; note: it may distort results, or a feature is missing.
    mend : str
        How to correct it; empty if there is nothing to correct.
    """

    topic: str
    found: str
    level: Level = "good"
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``doctor --json``."""
        return asdict(self)
