"""The page that says how things are."""

from playwright.sync_api import expect

from tests.browser.visitor import Visitor
from tests.browser.world import let


def test_it_says_what_runs_where_and_whether_all_is_well(visitor: Visitor) -> None:
    world, gate = visitor.world, visitor.world.gate()
    world.ended(world.draw("a reef", user_id="u1"))
    page = visitor.open("#/now")
    id = world.submit("paint", prompt="counted on the front page", gate=str(gate))
    tasks = page.get_by_role("table", name="Tasks")
    running = tasks.get_by_role("row").filter(has_text="paint").get_by_role("link", name="1")
    expect(running.first).to_be_visible()
    expect(page.get_by_role("table", name="Providers")).to_contain_text("replicate")
    expect(page.get_by_role("table", name="Workers")).to_contain_text("alive")
    expect(page.get_by_text("answers and takes writes")).to_be_visible()
    expect(page.get_by_role("heading", name="What is wrong")).to_be_visible()
    tasks.get_by_role("row").filter(has_text="paint").get_by_role("link").first.click()
    expect(page.get_by_role("row").filter(has_text="counted on the front page")).to_be_visible()
    let(gate, 0, 1, 2, 3)
    world.ended(id)
