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
    found : str
    level : {"good", "note", "bad"}
        bad: distorts results now; note: may distort them.
    mend : str
        How to correct it.
    """

    topic: str
    found: str
    level: Level = "good"
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``doctor --json``."""
        return asdict(self)
