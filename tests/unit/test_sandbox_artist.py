import io
import subprocess
import sys

import pytest
from PIL import Image

from jobrunner.sandbox.artists.artist import draw


def opened(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


def difference(one: bytes, other: bytes) -> float:
    """The share of pixels that differ by something an eye would see."""
    left, right = (opened(each).convert("L").resize((64, 64)).tobytes() for each in (one, other))
    return sum(abs(a - b) > 12 for a, b in zip(left, right, strict=True)) / 64**2


def test_same_order_same_bytes() -> None:
    assert draw("a cat by the sea", 7, 256, 256) == draw("a cat by the sea", 7, 256, 256)


def test_prompts_and_seeds_look_different() -> None:
    cat = draw("a cat by the sea", 7, 256, 256)
    assert difference(cat, draw("a castle in the snow at night", 7, 256, 256)) > 0.3
    assert difference(cat, draw("a cat by the sea", 8, 256, 256)) > 0.1


@pytest.mark.parametrize(("width", "height"), [(1024, 576), (576, 1024), (64, 64), (16, 48)])
@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_size_and_format_are_as_ordered(width: int, height: int, format: str) -> None:
    picture = opened(draw("robots on the road", 1, width, height, format))
    picture.load()
    assert (picture.size, picture.format) == ((width, height), format.upper())


@pytest.mark.parametrize(
    "place", ["sea", "city", "forest", "mountain", "desert", "snow", "village", "space", "meadow", "road", "castle"]
)
@pytest.mark.parametrize("mood", ["dawn", "midnight", "storm"])
def test_every_place_in_every_mood(place: str, mood: str) -> None:
    cast = "a girl, a robot, a cat" if mood < "m" else "a dog, a boat, a car" if mood < "n" else "rocket balloon oak"
    picture = opened(draw(f"{place} at {mood}: {cast}", 3, 128, 128)).resize((16, 16))
    assert len(set(picture.convert("RGB").tobytes())) > 40


@pytest.mark.parametrize(
    "text",
    ["", "\x00\x1b[31m\u202e\u2066", "\ud800 alone", "W" * 40_000, "a " * 20_000, "Z̷̡͍a" * 500, "你好 👻", "\n\n%s{}"],
)
def test_hostile_text_is_harmless(text: str) -> None:
    assert opened(draw(text, 1, 256, 256)).size == (256, 256)


def test_the_app_does_not_load_pillow() -> None:
    code = "import sys, jobrunner.sandbox.app; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
