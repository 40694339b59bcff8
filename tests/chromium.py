"""The browser that tests drive: Debian's Chromium, or what $CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
# As root, in a container, Chromium runs only without its sandbox.
FLAGS = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []

# Milliseconds for what a page does by itself: the machine may be busy.
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser for as long as it is needed; there can be one at a time."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def new_page(browser: Browser, **context: Any) -> Page:
    """A page in a context of its own."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(PATIENCE)
    return page
