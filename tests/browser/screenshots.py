"""Pictures of every page, light and dark, wide and narrow, of a jobrunner that has just done real work in the sandbox.

python -m tests.browser.screenshots [DIRECTORY]    (unset: out/screenshots)

`--readme` before it also renews the two that the README shows.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.browser.visitor import CHROMIUM, WIDE, Visitor
from tests.browser.world import World, let, world
from tests.conftest import ROOT

PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")

README: Final = {"jobs-light": "jobs", "gallery-dark": "gallery"}
PICTURES: Final = ROOT / "tests/browser/pictures"

_SCENES = {
    "A lighthouse at dusk, the first stars above it": "1536x1024",
    "A fox in the snow below tall firs": "1024x1024",
    "An empty station at night": "1024x1536",
    "Rain on the roofs of a harbour town": "1536x1024",
    "Two old friends on a bench in the city": "1024x1024",
    "A hot-air balloon above the lake": "1024x1024",
    "A road into the hills, early light": "1536x1024",
    "A heron at dawn": "1024x1536",
}
_FACE: Final[Mapping[str, Any]] = {
    "character_name": "Mira",
    "character_description": "a lighthouse keeper in a yellow raincoat",
}
_SAID = "Nobody had seen the light for a hundred years."
_REFUSED = "[moderation] something that no provider draws"


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="jobrunner-tests-") as place, world(Path(place), seeded=False) as made:
        pages = _worked(made)
        with sync_playwright() as playwright, playwright.chromium.launch(**CHROMIUM) as browser:
            for theme in THEMES:
                for suffix, size in (("", WIDE), ("-phone", PHONE)):
                    _shoot(browser, made, pages, directory, theme=theme, size=size, suffix=f"{suffix}-{theme}")


def _worked(made: World) -> Mapping[str, str]:
    """Let it work; answers the pages that there are to see then."""
    drawn = [made.draw(scene, user_id=f"studio-{n % 2}", size=size) for n, (scene, size) in enumerate(_SCENES.items())]
    others = [
        made.submit("generate_character_image", user_id="studio-1", **_FACE),
        made.submit("generate_speech", user_id="studio-1", text=_SAID),
        made.draw(_REFUSED, user_id="studio-0"),
    ]
    picture = made.ended(drawn[0])["artifacts"][0]["id"]
    waves: dict[str, Any] = {"image": picture, "scene_description": "The beam sweeps over the sea", "duration_s": 5}
    clip = made.submit("generate_scene_video", user_id="studio-0", **waves)
    for id in (*drawn, *others, clip):
        made.ended(id)
    gate = made.gate()
    let(gate, 0, 1)
    running = made.submit("paint", user_id="studio-1", prompt="A row of lamps along the pier", gate=str(gate))
    waiting = made.submit("moderate", {"delay_s": 900}, user_id="studio-0", text="Meet me at the lighthouse.")
    return {
        "now": "#/now",
        "jobs": "#/jobs",
        "gallery": "#/gallery",
        "submit": "#/submit",
        "help": "#/help",
        "form": "#/submit/generate_scene_image?from=" + drawn[0],
        "viewer": "#/gallery?kind=image",
        "job": f"#/jobs/{clip}",
        "job-running": f"#/jobs/{running}",
        "job-waiting": f"#/jobs/{waiting}",
        "job-failed": f"#/jobs/{others[-1]}",
    }


_BEFORE: Mapping[str, Callable[[Page], object]] = {
    "viewer": lambda page: page.get_by_role("button", name="generate_scene_image").first.click(),
    "job": lambda page: page.locator("video").evaluate("clip => { clip.currentTime = 2 }"),
    "job-running": lambda page: page.get_by_text("stroke 2 of 4").wait_for(),
}


def _shoot(
    browser: Browser,
    made: World,
    pages: Mapping[str, str],
    directory: Path,
    *,
    theme: Literal["light", "dark"],
    size: ViewportSize,
    suffix: str,
) -> None:
    with Visitor(browser, made, size=size, theme=theme) as visitor:
        page = visitor.open()
        page.screenshot(path=directory / f"sign-in{suffix}.png")
        visitor.sign_in("admin")
        page.reload()
        for name, place in pages.items():
            visitor.settle("#/help")
            visitor.settle(place)
            if name in _BEFORE:
                _BEFORE[name](page)
            page.wait_for_timeout(500)  # clips show their first picture when they please
            page.screenshot(path=directory / f"{name}{suffix}.png")


def renew(directory: Path) -> None:
    """The README's own, in 256 colours: a quarter of their size."""
    for taken, shown in README.items():
        with Image.open(directory / f"{taken}.png") as picture:
            few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.save(PICTURES / f"{shown}.png", optimize=True)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--readme"]
    to = Path(words[0]) if words else ROOT / "out/screenshots"
    main(to)
    if "--readme" in sys.argv:
        renew(to)
