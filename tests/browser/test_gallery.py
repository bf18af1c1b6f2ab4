"""The gallery: what was made, at a glance and in full."""

import re
from itertools import count

from playwright.sync_api import Locator, Page, expect

from tests.browser.visitor import Visitor

_users = count()


def tiles(page: Page) -> Locator:
    return page.get_by_role("list", name="Results").get_by_role("listitem")


def gallery(visitor: Visitor, made: int) -> tuple[Page, str]:
    """The gallery of a new user who has this many pictures, and that user."""
    user = f"artist-{next(_users)}"
    for each in [visitor.world.submit("paint", prompt="a dot", user_id=user) for _ in range(made)]:
        assert visitor.world.ended(each)["status"] == "completed"
    page = visitor.open(f"#/gallery?user_id={user}")
    expect(tiles(page)).to_have_count(made)
    return page, user


def test_results_are_seen_and_new_ones_come_by_themselves(visitor: Visitor) -> None:
    page, user = gallery(visitor, 1)
    picture = tiles(page).get_by_role("img").first
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("each => each.naturalWidth") == 320
    visitor.world.submit("paint", prompt="another", user_id=user)
    expect(tiles(page)).to_have_count(2)


def test_it_is_narrowed_and_its_address_can_be_passed_on(visitor: Visitor) -> None:
    page, user = gallery(visitor, 1)
    page.get_by_role("button", name="Clips").click()
    expect(page.get_by_text("Nothing that was made fits.")).to_be_visible()
    assert page.url.endswith(f"#/gallery?kind=video&user_id={user}")
    page.reload()
    expect(page.get_by_role("button", name="Clips")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Pictures").click()
    expect(tiles(page)).to_have_count(1)
    page.get_by_label("Task").select_option("generate_speech")
    expect(tiles(page)).to_have_count(0)


def test_a_result_is_seen_in_full_and_leads_to_its_job(visitor: Visitor) -> None:
    page, user = gallery(visitor, 3)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    shown = viewer.get_by_role("img")
    first = shown.get_attribute("src")
    expect(viewer).to_contain_text(user)
    expect(viewer.get_by_role("button", name="The one before")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    expect(shown).not_to_have_attribute("src", first or "")
    assert visitor.flaws() == []
    page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    expect(tiles(page).nth(1).get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Open the job").click()
    expect(page).to_have_url(re.compile("#/jobs/"))
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_clips_play_and_sounds_are_there_to_hear(visitor: Visitor) -> None:
    world = visitor.world
    spoken = world.submit("generate_speech", user_id="clips", text="Once upon a time.")
    drawn = world.ended(world.submit("paint", prompt="the first frame", user_id="clips"))
    filmed = world.submit(
        *("generate_scene_video",),
        user_id="clips",
        image=drawn["artifacts"][0]["id"],
        scene_description="waves",
        duration_s=5,
    )
    assert [world.ended(each)["status"] for each in (spoken, filmed)] == ["completed"] * 2
    page = visitor.open("#/gallery?user_id=clips")
    page.get_by_role("button", name=re.compile("generate_scene_video")).click()
    clip = page.get_by_role("dialog").locator("video")
    assert clip.evaluate("async clip => { await clip.play(); return clip.videoWidth }") > 0
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("generate_speech")).click()
    sound = page.get_by_role("dialog").locator("audio")
    assert sound.evaluate("async sound => { sound.muted = true; await sound.play(); return sound.duration }") > 0
