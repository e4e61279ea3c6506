"""Chromium, and pages that watch themselves: what they ask for, what they complain about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.fake_gateway import Service

PATIENCE = 60_000  # milliseconds: machines may be busy


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless. Playwright's event loop runs in this thread, so it ends before other tests start theirs."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.fail("Chromium is missing: run make browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary)
        yield browser
        browser.close()


@pytest.fixture
def service() -> Iterator[Service]:
    """A fake server."""
    made = Service()
    yield made
    made.stop()


class Watch:
    """What a page asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.urls: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))

    def _hear(self, said: ConsoleMessage) -> None:
        refused = said.text.startswith("Failed to load resource: the server responded")  # every answer from 400 on; no complaint
        if said.type in ("error", "warning") and not refused:
            self.complaints.append(said.text)

    def origins(self) -> set[str]:
        """Where it asked; `data:` stays within the page."""
        return {f"{url.scheme}://{url.netloc}" for url in map(urlsplit, self.urls) if url.scheme != "data"}


Open = Callable[..., tuple[Page, Watch]]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Opens a URL in a browser of its own; the arguments are those of Playwright's contexts."""
    contexts = []

    def opened(url: str, **options: Any) -> tuple[Page, Watch]:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        watch = Watch(page)
        page.goto(url)
        return page, watch

    yield opened
    for context in contexts:
        context.close()
