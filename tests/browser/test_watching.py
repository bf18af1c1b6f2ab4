"""A job while it runs and after: what is seen of it without a reload, and what can be done to it."""

import re
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.line import line_to
from tests.browser.seeding import CAREFUL_USER
from tests.browser.visitor import Visitor
from tests.browser.world import DEAF, World, let

LATER: Mapping[str, Any] = {"delay_s": 3600}


def marked(page: Page) -> None:
    """From now on a reload shows."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def answered(page: Page, verb: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=verb).click()


def test_a_job_is_seen_moving_until_its_picture_is_there(visitor: Visitor) -> None:
    gate = visitor.world.gate()
    id = visitor.world.submit("paint", prompt="seen while it is painted", gate=str(gate))
    page = visitor.open(f"#/jobs/{id}")
    marked(page)
    bar = page.get_by_role("progressbar")
    for stroke in range(3):
        let(gate, stroke)
        expect(page.get_by_text(f"stroke {stroke + 1} of 4")).to_be_visible()
        expect(bar).to_have_js_property("value", (stroke + 1) / 5)
    preview = page.get_by_role("img", name="Preview of what is being made")
    expect(preview).to_have_js_property("naturalWidth", 320)
    expect(page.get_by_role("log")).to_contain_text("A stroke is done.")
    let(gate, 3)
    expect(page.get_by_role("heading", name="What it made")).to_be_visible()
    expect(page.get_by_role("figure").get_by_role("img")).to_have_js_property("naturalWidth", 320)
    expect(page.get_by_text("completed").first).to_be_visible()
    expect(bar).to_be_hidden()
    assert stayed(page)


def test_its_row_moves_too(visitor: Visitor) -> None:
    gate = visitor.world.gate()
    page = visitor.open("#/jobs?user_id=seen-in-a-row")
    expect(page.get_by_text("No job fits.")).to_be_visible()
    marked(page)
    visitor.world.submit("paint", prompt="a row of its own", gate=str(gate), user_id="seen-in-a-row")
    row = page.get_by_role("row").filter(has_text="a row of its own")
    expect(row).to_contain_text("in progress")  # it came by itself
    let(gate, 0, 1)
    expect(row).to_contain_text("stroke 2 of 4")
    let(gate, 2, 3)
    expect(row).to_contain_text("completed")
    expect(row.get_by_role("img")).to_have_js_property("naturalWidth", 320)
    assert stayed(page)


def test_it_is_cancelled_once_asked_twice_and_can_be_run_again(visitor: Visitor) -> None:
    gate = visitor.world.gate()
    id = visitor.world.submit("paint", prompt="not after all", gate=str(gate))
    page = visitor.open(f"#/jobs/{id}")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not visitor.world.job(id)["cancel_requested"]
    cancel.click()
    assert visitor.flaws() == []
    answered(page, "Cancel the job")
    expect(page.get_by_text("cancelled", exact=True).first).to_be_visible()
    let(gate, 0, 1, 2, 3)
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("figure").get_by_role("img")).to_have_js_property("naturalWidth", 320)
    assert visitor.world.job(id)["attempt"] == 2


def test_a_failure_says_what_to_do(visitor: Visitor) -> None:
    seeded = visitor.world.jobs(status="failed", user_id="user-3", limit=1)[0]
    page = visitor.open(f"#/jobs/{seeded['id']}")
    expect(page.get_by_role("heading", name="It failed")).to_contain_text(seeded["error"]["code"])
    expect(page.get_by_text(seeded["error"]["message"])).to_be_visible()
    expect(page.get_by_text("What to do:")).to_be_visible()


def test_why_it_is_not_running_is_said_in_words(visitor: Visitor) -> None:
    id = visitor.world.submit("paint", LATER, prompt="later")
    page = visitor.open(f"#/jobs/{id}")
    expect(page.get_by_role("heading", name="Why it is not running")).to_be_visible()
    expect(page.get_by_text(visitor.world.job(id)["why"])).to_be_visible()


def test_many_are_cancelled_at_once(visitor: Visitor) -> None:
    world = visitor.world
    ids = [world.submit("paint", LATER, prompt=f"no. {n}", user_id="of-many") for n in range(3)]
    page = visitor.open("#/jobs?user_id=of-many")
    for prompt in ("no. 0", "no. 2"):
        page.get_by_role("row").filter(has_text=prompt).get_by_role("checkbox").check()
    page.get_by_role("button", name="Cancel 2").click()
    answered(page, "Cancel 2 jobs")
    expect(page.get_by_role("row").filter(has_text="cancelled")).to_have_count(2)
    page.get_by_role("checkbox", name="Select all that are listed").check()
    page.get_by_role("button", name="Retry 2").click()
    answered(page, "Retry 2 jobs")
    expect(page.get_by_role("row").filter(has_text="cancelled")).to_have_count(0)
    assert [world.ended(id)["status"] for id in (ids[0], ids[2])] == ["completed"] * 2


def test_a_purchase_of_unknown_outcome_is_made_again_only_with_its_price_in_view(visitor: Visitor) -> None:
    world = visitor.world
    world.ended(world.draw("a harbour", user_id=CAREFUL_USER))
    unknown = world.jobs(user_id=CAREFUL_USER, status="failed")[0]["id"]
    page = visitor.open(f"#/jobs/{unknown}")
    page.get_by_role("button", name="Submit again").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text(re.compile(r"generate at replicate.*\d+\.\d+ seconds", re.DOTALL))
    asked.get_by_role("button", name="Leave it").click()
    assert world.job(unknown)["status"] == "failed"


def test_webhooks_are_shown_and_told_again(visitor: Visitor) -> None:
    told = visitor.world.submit("paint", {"webhook": f"http://{DEAF}/hook"}, prompt="told to somebody deaf")
    visitor.world.ended(told)
    page = visitor.open(f"#/jobs/{told}")
    hooks = page.get_by_role("listitem").filter(has_text=DEAF)
    expect(hooks).to_contain_text("job.completed")
    page.get_by_role("button", name="Tell them again").click()
    answered(page, "Tell them again")
    expect(page.get_by_text("They are told again.")).to_be_visible()


def test_what_happened_while_the_line_was_cut_is_there_once_it_is_back(chromium: Browser, house: World) -> None:
    gate = house.gate()
    id = house.submit("paint", prompt="over a bad line", gate=str(gate))
    with line_to(house.url) as line, Visitor(chromium, house, url=line.url) as visitor:
        visitor.sign_in("admin")
        visitor.expected = {404}  # of the previews that it was told of late
        page = visitor.open(f"#/jobs/{id}")
        let(gate, 0)
        expect(page.get_by_text("stroke 1 of 4")).to_be_visible()
        marked(page)
        lost = page.get_by_text("The connection is lost")
        line.cut()
        expect(lost).to_be_visible()
        let(gate, 1, 2, 3)
        house.ended(id)
        line.mend()
        expect(lost).to_be_hidden()
        expect(page.get_by_role("figure").get_by_role("img")).to_have_js_property("naturalWidth", 320)
        assert stayed(page)
