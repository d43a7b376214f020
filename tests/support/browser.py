"""Headless Chromium for the tests of the report's page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
"""Path of the browser; None if no browser is installed."""


FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    "--disable-background-networking",
)
"""Options of the browser: no sandbox, because tests may run as root, and no background
requests."""

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
"""Sizes of the browser's window in CSS pixels."""


class Watched:
    """An open page, with its requests and the errors and warnings in its console."""

    def __init__(self, browser: Browser, path: Path, query: str = "", **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(**({"viewport": DESKTOP} | options))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(path.as_uri() + query)
        self.page.wait_for_selector("html[data-ready]", timeout=30_000)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)
