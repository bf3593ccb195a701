"""A real browser, for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

# Not everybody who changes a metric has a browser at hand; .ci/run installs one.
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed; `apt-get install chromium` gets it"
)


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, until it is no longer needed."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()
