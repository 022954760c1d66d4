"""Open pages in headless Chromium, without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HEIGHT = 900


@contextmanager
def browser() -> Iterator:
    """A browser; skips the test if there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium has no sandbox where tests run as root, as in containers.
        own = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield own
        own.close()


@contextmanager
def opened(
    browser, path: Path, width: int = 1200, scheme: str = "light", *, javascript: bool = True
) -> Iterator:
    """The page of a file, which must cause no message, no error and no request."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,
        offline=True,
        java_script_enabled=javascript,
    )
    page = context.new_page()
    seen = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("request", lambda request: seen.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert {text for text in seen if not text.startswith("data:")} == {path.as_uri()}


def violations(page) -> list[str]:
    """What axe-core finds wrong: contrast, labels, roles and so on."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def scrolls_sideways(page) -> bool:
    """Whether the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
