"""A real Chromium, headless, for the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.pipeline import ROOT
from tests.support.programs import BROWSERS, program

#: Kept by each run, to be looked at.
SCREENSHOTS = ROOT / "build" / "screenshots"
#: Nothing of its own goes out: neither updates nor start pages.
_QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--disable-quic"]  # fmt: skip


@contextmanager
def browser() -> Iterator[Browser]:
    """Give a browser; skip where there is none."""
    path = program(*BROWSERS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=_QUIET)
        yield found
        found.close()


def shoot(page: Page, name: str) -> Path:
    """Keep a picture of a page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
