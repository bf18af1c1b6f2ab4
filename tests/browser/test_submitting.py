"""The form that is made from a task's schema."""

import re
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.visitor import Visitor
from tests.integration.api.keyring import PNG

PICTURE: FilePayload = {"name": "dot.png", "mimeType": "image/png", "buffer": PNG}
SECOND: FilePayload = {**PICTURE, "name": "second.png"}
ID = re.compile(r"#/jobs/([0-9a-f-]{36})$")


def form(visitor: Visitor, task: str) -> Page:
    visitor.open(f"#/submit/{task}")
    expect(visitor.page.get_by_role("button", name="Submit job")).to_be_visible()
    return visitor.page


def submitted(page: Page) -> str:
    """The id of the job whose page the form led to."""
    page.get_by_role("button", name="Submit job").click()
    page.wait_for_url(ID)
    found = ID.search(page.url)
    assert found is not None
    return found[1]


def params_of(visitor: Visitor, id: str) -> Any:
    return visitor.world.job(id)["params"]


def test_what_is_left_alone_is_left_out(visitor: Visitor) -> None:
    page = form(visitor, "still_life")
    page.get_by_label("prompt").fill("Pears")
    said = page.locator("pre").text_content() or ""
    assert '"params": {\n    "prompt": "Pears",\n    "light": {}\n  }' in said
    made = params_of(visitor, submitted(page))
    assert made == {**made, "prompt": "Pears", "size": "64x64", "count": 1, "due": None, "references": []}


def test_every_kind_of_value_can_be_given(visitor: Visitor) -> None:
    page = form(visitor, "still_life")
    fill = {"prompt": "Two pears", "size": "32x32", "count": "3", "strength": "0.25", "extra": '{"a": 1}'}
    for name, text in fill.items():
        page.get_by_label(name, exact=True).fill(text)
    page.get_by_label("style", exact=True).select_option("oil")
    page.get_by_label("signed").check()
    page.get_by_label("due").fill("2031-05-04T12:30:15")
    page.get_by_label("day").fill("2031-05-05")
    light = page.get_by_role("group", name="light")
    light.get_by_label("angle").fill("-10")
    light.get_by_label("colour").select_option("amber")
    shade = page.get_by_role("group", name="shade")
    shade.get_by_label("Include it").check()
    shade.get_by_label("angle").fill("90")
    words = page.get_by_role("group", name="words")
    for n, word in enumerate(("ripe", "gone", "green")):
        words.get_by_role("button", name="Add one").click()
        words.get_by_label(f"words {n}", exact=True).fill(word)
    words.get_by_role("button", name="Take words 1 out").click()
    marks = page.get_by_role("group", name="marks", exact=True)
    marks.get_by_role("button", name="Add one").click()
    marks.get_by_label("Kind").select_option("Line")
    marks.get_by_label("length").fill("7")
    seed = page.get_by_role("group", name="seed")
    seed.get_by_label("Kind").select_option("integer")
    seed.get_by_label("value").fill("42")
    made = params_of(visitor, submitted(page))
    due = datetime.fromisoformat(made.pop("due"))
    assert due.astimezone().strftime("%Y-%m-%dT%H:%M:%S") == "2031-05-04T12:30:15"
    assert made == {
        "prompt": "Two pears",
        "size": "32x32",
        "count": 3,
        "strength": 0.25,
        "style": "oil",
        "signed": True,
        "day": "2031-05-05",
        "light": {"angle": -10, "colour": "amber"},
        "extra": {"a": 1},
        "shade": {"angle": 90, "colour": "white"},
        "words": ["ripe", "green"],
        "seed": 42,
        "marks": [{"shape": "line", "length": 7}],
        "picture": None,
        "references": [],
    }


def test_files_go_with_the_form_and_each_goes_once(visitor: Visitor) -> None:
    page = form(visitor, "still_life")
    page.get_by_label("prompt").fill("After this")
    page.get_by_label("Choose a file for picture").set_input_files(PICTURE)
    expect(page.get_by_text("dot.png", exact=True)).to_be_visible()
    page.get_by_label("Choose files for references").set_input_files([PICTURE, SECOND])
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/v1/artifacts") else None)
    page.route("**/v1/jobs", lambda route: route.abort(), times=1)
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    job = visitor.world.ended(submitted(page))
    assert job["result"] == {"kinds": ["image/png"] * 3}
    assert len(sent) == 3
    page.go_back()  # what was typed and chosen is there still
    expect(page.get_by_label("prompt")).to_have_value("After this")
    expect(page.get_by_text("second.png", exact=True)).to_be_visible()


def test_a_file_that_is_none_is_refused_at_its_field(visitor: Visitor) -> None:
    visitor.expected = {415}
    page = form(visitor, "still_life")
    page.get_by_label("prompt").fill("After that")
    page.get_by_label("Choose a file for picture").set_input_files(
        {"name": "page.png", "mimeType": "image/png", "buffer": b"<html>"}
    )
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_label("picture", exact=True)).to_have_accessible_description(re.compile("no picture|not|media"))
    assert ID.search(page.url) is None


def test_what_is_wrong_is_said_at_its_field(visitor: Visitor) -> None:
    visitor.expected = {422}
    page = form(visitor, "still_life")
    submit = page.get_by_role("button", name="Submit job")
    submit.click()
    prompt = page.get_by_label("prompt")
    expect(prompt).to_be_focused()  # what the form itself can tell, it tells at once
    expect(prompt).to_have_accessible_description(re.compile("This is needed"))
    prompt.fill("Pears")
    expect(prompt).not_to_have_attribute("aria-invalid", "true")
    page.get_by_label("strength").fill("much")
    page.get_by_label("extra").fill("{")
    submit.click()
    expect(page.get_by_label("strength")).to_have_accessible_description(re.compile("This is no number"))
    expect(page.get_by_label("extra")).to_have_accessible_description(re.compile("This is no JSON"))
    page.get_by_label("strength").fill("")
    page.get_by_label("extra").fill("")
    page.get_by_label("count").fill("9")
    page.get_by_role("group", name="references").get_by_role("button", name="Add one").click()
    reference = page.get_by_label("references 0", exact=True)
    reference.fill("no address")
    submit.click()
    expect(page.get_by_label("count")).to_have_accessible_description(re.compile("less than or equal to 4"))
    expect(page.get_by_label("count")).to_be_focused()
    expect(reference).to_have_accessible_description(re.compile("match pattern"))
    assert visitor.flaws() == []


def test_a_double_click_submits_once(visitor: Visitor) -> None:
    page = form(visitor, "paint")
    page.get_by_label("prompt").fill("only one of these")
    page.get_by_role("button", name="Submit job").dblclick()
    page.wait_for_url(ID)
    assert len([job for job in visitor.world.jobs(task="paint") if job["params"]["prompt"] == "only one of these"]) == 1


def test_an_answer_that_was_lost_makes_no_second_job(visitor: Visitor) -> None:
    page = form(visitor, "paint")
    page.get_by_label("prompt").fill("asked for twice")
    lost: list[str] = []

    def lose(route: Any) -> None:
        lost.append(route.fetch().json()["id"])
        route.abort()

    page.route("**/v1/jobs", lose, times=1)
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_text("makes no second job")).to_be_visible()
    assert [submitted(page)] == lost


def test_a_job_is_submitted_once_more_with_a_word_changed(visitor: Visitor) -> None:
    first = visitor.world.submit("still_life", prompt="Pears", light={"angle": 30}, words=["ripe"])
    page = visitor.open(f"#/jobs/{first}")
    page.get_by_role("link", name="Submit one like it").click()
    expect(page.get_by_label("prompt")).to_have_value("Pears")
    page.get_by_label("prompt").fill("Plums")
    assert params_of(visitor, submitted(page)) == {**params_of(visitor, first), "prompt": "Plums"}


@pytest.mark.parametrize("task", ["generate_scene_image", "add_subtitles", "mint_nft"])
def test_an_example_fills_the_form(visitor: Visitor, task: str) -> None:
    page = form(visitor, task)
    page.get_by_role("button", name="Fill in an example").click()
    expect(page.get_by_label("user_id")).to_have_value("u1")
    said = page.locator("pre").text_content() or ""
    assert "cdn.example.com" not in said
    assert '"user_id": "u1"' in said


def test_tasks_are_found_by_a_word_of_theirs(visitor: Visitor) -> None:
    page = visitor.open("#/submit")
    tasks = page.get_by_role("navigation", name="Tasks")
    page.keyboard.press("/")
    page.keyboard.type("stroke")
    expect(tasks.get_by_role("link")).to_have_text([re.compile("^paint")])
    tasks.get_by_role("link").click()
    expect(page.get_by_role("heading", name="paint")).to_be_visible()
