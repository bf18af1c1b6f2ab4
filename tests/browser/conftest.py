"""A world and a Chromium for all tests here; a page for each, which nothing may go wrong in unseen."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.visitor import CHROMIUM, Visitor
from tests.browser.world import World, world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.apt)


@pytest.fixture(scope="package")
def house() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="jobrunner-tests-") as directory, world(Path(directory)) as made:
        yield made


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    # Playwright's own loop runs in this thread until the last test here: none of them can be a coroutine.
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    with playwright.chromium.launch(**CHROMIUM) as browser:
        yield browser


@pytest.fixture
def visitor(chromium: Browser, house: World) -> Iterator[Visitor]:
    """Signed in with the key that may do everything."""
    with Visitor(chromium, house) as visitor:
        visitor.sign_in("admin")
        yield visitor
