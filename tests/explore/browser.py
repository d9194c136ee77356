"""A page in Debian's Chromium by Playwright, with the network blocked and its own policy in force."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(__file__).parents[2] / "explorer" / "node_modules" / "axe-core" / "axe.min.js"
"""The accessibility checker axe-core; it is there after npm ci in explorer/."""


@contextmanager
def browsing(
    text: str, folder: Path, *, width: int = 1280, scheme: str = "light", place: str = ""
) -> Iterator[tuple[Any, list[str]]]:
    """Open a page that is drawn whole; `place` is the address after #. Gives it and what failed on it so far."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    failures: list[str] = []
    context = _browser().new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        offline=True,
        has_touch=width < 500,
        accept_downloads=True,
    )
    try:
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("dialog", lambda dialog: failures.append(f"dialog: {dialog.message}"))
        page.on(
            "console", lambda line: failures.append(line.text) if line.type == "error" else None
        )
        page.on("request", lambda asked: _count(asked.url, failures))
        page.goto((folder / "page.html").as_uri() + (f"#{place}" if place else ""))
        if "data-records=" in text:
            page.wait_for_selector('[data-state="all"]', timeout=60_000)
        yield page, failures
    finally:
        context.close()


@contextmanager
def visiting(
    address: str, *, width: int = 1280, scheme: str = "light"
) -> Iterator[tuple[Any, list[str]]]:
    """Open a page of a server on this machine; anything it asks of others is a failure."""
    failures: list[str] = []
    context = _browser().new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("dialog", lambda dialog: failures.append(f"dialog: {dialog.message}"))
        page.on(
            "console", lambda line: failures.append(line.text) if line.type == "error" else None
        )
        page.on("request", lambda asked: _count(asked.url.replace(address, "file:"), failures))
        page.goto(address)
        yield page, failures
    finally:
        context.close()


def saved_files(page: Any, buttons: str) -> dict[str, bytes]:
    """Press the buttons that save PNG, SVG and CSV, and return the files; `buttons` selects their group."""
    files = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.expect_download() as waiting:
            page.locator(f"{buttons} button", has_text=kind).click()
        files[kind] = Path(waiting.value.path()).read_bytes()
    assert files["PNG"].startswith(b"\x89PNG")
    assert b"var(" not in files["SVG"]
    return files


def open_details(page: Any) -> None:
    """Unfold everything that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def serious_findings(page: Any) -> list[tuple[str, list[str]]]:
    """Return what axe-core finds serious or worse on a page: (rule, the elements that break it)."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@functools.cache
def _browser() -> Any:
    """One browser for all tests of a file; it starts in a second, a page of it in a tenth."""
    from playwright.sync_api import sync_playwright

    running = sync_playwright().start()
    browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
    _CLOSING.extend([browser.close, running.stop])
    return browser


_CLOSING: list[Callable[[], None]] = []


def close_browser() -> None:
    """Close the browser: Playwright's event loop would be in the way of other tests that run one."""
    while _CLOSING:
        _CLOSING.pop(0)()
    _browser.cache_clear()


def _count(url: str, failures: list[str]) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        failures.append(f"request: {url}")
