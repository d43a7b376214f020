"""The result of a check of ``doctor``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """The result of a check of ``doctor``.

    Attributes
    ----------
    topic : str
        The checked part of the machine, such as "memory".
    found : str
        What the check found.
    level : {"good", "note", "bad"}
        "good": there is no problem. "note": measurements can be distorted, or an optional
        feature is missing. "bad": measurements are distorted or impossible.
    mend : str
        What the user can do about the finding; empty if there is nothing to do.
    """

    topic: str
    found: str
    level: Level = "good"
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``doctor --json``."""
        return asdict(self)
