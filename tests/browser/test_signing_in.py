"""Who gets in, with which key, and what they may do then."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.visitor import Visitor
from tests.browser.world import World


@pytest.fixture
def stranger(chromium: Browser, house: World) -> Iterator[Visitor]:
    """Somebody whom the server does not know."""
    with Visitor(chromium, house) as visitor:
        yield visitor


def enter(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def areas(page: Page) -> list[str]:
    return page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()


def test_a_key_opens_the_pages_and_signing_out_shuts_them(stranger: Visitor) -> None:
    stranger.expected = {401}
    page = stranger.open("#/gallery")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    enter(page, "jr_wrong")
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    enter(page, stranger.world.keys["admin"])
    expect(page.get_by_role("heading", name="Gallery")).to_be_visible()  # where they wanted to go
    assert areas(page) == ["Now", "Jobs", "Gallery", "Submit", "Help"]
    page.reload()
    expect(page.get_by_role("heading", name="Gallery")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    assert stranger.world.keys["admin"] not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_actions_show_with_their_scope_alone(stranger: Visitor) -> None:
    job = stranger.world.submit("paint", prompt="for a viewer", gate=str(stranger.world.gate()))
    stranger.sign_in("viewer")
    page = stranger.open("#/jobs")
    assert areas(page) == ["Now", "Jobs", "Gallery", "Help"]
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    stranger.open(f"#/jobs/{job}")
    expect(page.get_by_text("for a viewer").first).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    stranger.open("#/submit")
    expect(page.get_by_role("alert")).to_contain_text("“submit”")
    stranger.world.api.post(f"/v1/jobs/{job}/cancel").raise_for_status()


def test_a_bound_key_shows_its_own_users_jobs_and_submits_for_them(stranger: Visitor) -> None:
    stranger.world.ended(stranger.world.submit("paint", prompt="of the tenant", user_id="tenant"))
    other = stranger.world.ended(stranger.world.submit("paint", prompt="of somebody else", user_id="somebody"))
    stranger.expected = {404}
    stranger.sign_in("tenant")
    page = stranger.open("#/jobs")
    expect(page.get_by_text("of the tenant")).to_be_visible()
    expect(page.get_by_text("of somebody else")).to_have_count(0)
    page = stranger.open("#/gallery")
    expect(page.get_by_role("list", name="Results").get_by_role("listitem")).to_have_count(1)
    stranger.open(f"#/jobs/{other['id']}")
    expect(page.get_by_role("alert")).to_be_visible()
    stranger.open("#/submit/paint")
    expect(page.get_by_label("user_id")).to_have_value("tenant")
