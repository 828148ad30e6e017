"""A real headless browser for tests of pages; they are skipped where there is none."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")


@contextmanager
def chromium() -> Generator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        # Without a sandbox, as it runs as root in containers; it opens nothing but pages made by these tests.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_file(browser: Browser, path: Path, *, dark: bool = False, width: int = 1400) -> tuple[Page, list[str]]:
    """Opens a file without a network, and returns the page with a list to which everything it complains of is added."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", offline=True
    )
    page = context.new_page()
    complaints = watch(page)
    page.goto(path.as_uri())
    return page, complaints


def watch(page: Page) -> list[str]:
    """What goes wrong in a page from now on: errors and warnings on its console, exceptions, dialogues."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def dismiss(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", dismiss)
    return complaints
