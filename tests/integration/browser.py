"""A real headless Chromium on pages of the router, which may complain of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

__all__ = ["CHROMIUM", "Visit", "chromium", "needs_chromium"]

# Debian's; playwright's own would have to be downloaded.
CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}: apt-get install chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the end of the block."""
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        # Whoever is root, as in a container, can have no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page of a browser profile of its own: `complaints` of its console, `foreign` requests."""

    def __init__(self, browser: Browser, origin: str, **options: object) -> None:
        self.origin = origin
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self._context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # type: ignore[arg-type]
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.foreign.append(request.url)

    def close(self) -> None:
        self._context.close()

    def assert_quiet(self, *expected: str) -> None:
        """No complaint but those that have a text of `expected`, and nothing from elsewhere."""
        others = [text for text in self.complaints if not any(part in text for part in expected)]
        assert others == [], others
        assert self.foreign == [], self.foreign
