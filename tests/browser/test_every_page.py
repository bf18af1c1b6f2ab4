"""What holds of every page: readable by all, in both themes, on a phone, and deaf to what prompts smuggle in."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.seeding import HOSTILE, HOSTILE_USER
from tests.browser.visitor import PHONE, WIDE, Visitor
from tests.browser.world import World


def _painted(world: World) -> str:
    id = world.submit("paint", prompt="to be looked at", user_id="every-page")
    world.ended(id)
    return id


PAGES: dict[str, Callable[[World], str]] = {
    "now": lambda _: "#/now",
    "jobs": lambda _: "#/jobs",
    "no-jobs": lambda _: "#/jobs?user_id=nobody",
    "job": lambda world: f"#/jobs/{_painted(world)}",
    "hostile-job": lambda world: f"#/jobs/{world.jobs(user_id=HOSTILE_USER, limit=1)[0]['id']}",
    "gallery": lambda world: f"#/gallery?user_id=every-page&kind={_painted(world) and 'image'}",
    "submit": lambda _: "#/submit",
    "form": lambda _: "#/submit/still_life",
    "help": lambda _: "#/help",
    "nowhere": lambda _: "#/nowhere",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_in_both_themes_and_on_a_phone(visitor: Visitor, name: str) -> None:
    place = PAGES[name](visitor.world)
    page = visitor.open("#/help")
    visitor.settle(place)
    assert visitor.flaws() == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)
    assert visitor.overflow() == []
    assert visitor.flaws() == []


def test_signing_in_is_for_everybody_too(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    for size in (WIDE, PHONE):
        page.set_viewport_size(size)
        assert visitor.flaws() + visitor.overflow() == []


def test_the_chosen_theme_is_kept(visitor: Visitor) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = visitor.open("#/help")
    light = page.evaluate(ground)
    page.get_by_label("Theme").select_option("Dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(page.get_by_label("Theme")).to_have_value("dark")
    assert page.evaluate(ground) == dark


def test_hostile_words_are_only_words(visitor: Visitor) -> None:
    page = visitor.open(f"#/jobs?user_id={HOSTILE_USER}")
    for text in HOSTILE:
        expect(page.get_by_role("row").filter(has_text=text).first).to_be_visible()
    for job in visitor.world.jobs(user_id=HOSTILE_USER):
        text = job["params"]["scene_description"]
        visitor.settle(f"#/jobs/{job['id']}")
        expect(page.get_by_text(text).first).to_be_visible()
        visitor.settle(f"#/submit/generate_scene_image?from={job['id']}")
        expect(page.get_by_label("scene_description")).to_have_value(text)
        visitor.settle(f"#/gallery?user_id={text}&task={text}")
    assert "owned" not in page.title()
    assert page.locator("b, script:not([src]), img[src='x'], [onerror], [onload]").count() == 0


def test_what_got_into_the_page_all_the_same_would_not_run(visitor: Visitor) -> None:
    page = visitor.open("#/help")
    refused = page.evaluate(
        """async () => {
          const refused = [];
          document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
          const box = document.createElement("div");
          box.innerHTML = `<img src="/nothing" onerror="document.title = 'owned'"><style>main { display: none }</style>
            <img src="https://elsewhere.example/x"><iframe src="https://elsewhere.example/"></iframe>`;
          document.body.append(box);
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
          await fetch("https://elsewhere.example/").catch(() => {});
          await new Promise((resolve) => setTimeout(resolve, 100));
          return refused.sort();
        }"""
    )
    assert {*refused} == {"connect-src", "frame-src", "img-src", "script-src-attr", "script-src-elem", "style-src-elem"}
    assert "owned" not in page.title()
    visitor.trouble.clear()  # the browser said so
