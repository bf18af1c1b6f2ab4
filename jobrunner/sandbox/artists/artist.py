"""Draws a storyboard picture from words: the same words, seed, size and format give the same bytes.

What the words name is what stands in the picture (a cat, the sea, a city at night); what they leave open is
chosen by their hash. Slow enough to matter to an event loop, so `studio` runs it in a process of its own.
"""

import bisect
import hashlib
import io
import random
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from font_roboto import RobotoMedium
from PIL import Image, ImageDraw, ImageFont

from jobrunner.sandbox.artists import figures, scenery
from jobrunner.sandbox.artists.canvas import Canvas, Palette, colour

Heights = Callable[[float], float]
EXCERPT_CHARS: Final = 240
CAPTION_LINES: Final = 2


def _palette(sky: str, rest: str, *, dark: bool = False) -> Palette:
    top, middle, low = (colour(part) for part in sky.split())
    far, near, light, accent, ink = (colour(part) for part in rest.split())
    return Palette((top, middle, low), far, near, light, accent, ink, dark)


MOODS: Final[Mapping[str, tuple[Palette, str]]] = {
    "dawn": (
        _palette("5c6fa8 e5a3a0 ffdcae", "7b7fa6 3e5560 fff0c8 e0705a 273244"),
        "dawn sunrise morning early hope spring",
    ),
    "day": (
        _palette("3a86c8 86c3e6 e4f2ee", "6f9fa0 4d8a52 fff6d2 e4823f 24404a"),
        "day noon sunny summer bright blue clear happy picnic",
    ),
    "dusk": (
        _palette("2e2a5a b8506c ffb169", "6d4567 33263f ffd9a0 f2785c 1d1730"),
        "dusk sunset evening golden orange romantic autumn warm",
    ),
    "night": (
        _palette("0b1230 1d2f5e 48618e", "2b406b 141f3a f4efd8 e09a5a 080d1f", dark=True),
        "night midnight moon dark noir star starry neon ghost dream",
    ),
    "storm": (
        _palette("39434f 6f7d88 b4bbb8", "5f6f78 39484a e8e6d4 c96f4a 1f282e"),
        "storm rain rainy thunder fog foggy mist grey gray gloomy sad war",
    ),
    "wonder": (
        _palette("3b2a6e 8f6bb8 f5c5d8", "8069a8 3f4a7c fff1d6 4fc3b5 271d4a"),
        "magic magical fantasy fairy wizard dragon unicorn alien future purple pink",
    ),
}
PLACES: Final = {
    "sea": "sea ocean beach coast ship boat sail sailboat harbor harbour island wave pirate lighthouse lake river fish",
    "city": "city street town skyline urban building skyscraper downtown office market detective taxi neon rooftop",
    "castle": "castle knight king queen princess wizard dragon fortress palace tower",
    "forest": "forest wood jungle pine camp campfire fox wolf bear deer path",
    "mountain": "mountain alp peak cliff climb climber valley summit glacier",
    "desert": "desert dune sand camel cactus pyramid egypt mars canyon western cowboy",
    "snow": "snow snowy winter ice arctic christmas ski penguin frozen",
    "village": "village house home farm cottage barn garden kitchen family",
    "space": "space planet galaxy orbit astronaut spaceship satellite nebula asteroid",
    "meadow": "meadow field flower hill grass countryside picnic park spring",
    "road": "road highway drive driving car truck race journey travel",
}
FIGURES: Final = {
    "person": "person man woman girl boy child children men women kid hero detective knight king queen princess wizard"
    " pirate soldier doctor teacher farmer astronaut cowboy people friend mother father family he she witch samurai",
    "robot": "robot android droid machine cyborg mech",
    "cat": "cat kitten fox rabbit tiger lion",
    "dog": "dog puppy wolf horse deer bear",
    "boat": "boat ship sail sailboat yacht vessel",
    "car": "car taxi truck van race",
    "rocket": "rocket spaceship shuttle missile",
    "balloon": "balloon airship",
    "tree": "tree oak willow apple",
}
SEVERAL: Final = frozenset({"friends", "children", "people", "family", "men", "women", "girls", "boys", "crowd"})
PAINT: Final[Mapping[str, Callable[[Canvas, tuple[float, float], float], None]]] = {
    "person": figures.person,
    "robot": figures.robot,
    "cat": figures.cat,
    "dog": figures.dog,
    "boat": figures.boat,
    "car": figures.car,
    "rocket": figures.rocket,
    "balloon": figures.balloon,
    "tree": scenery.tree,
}
FIGURE_HEIGHTS: Final = {"cat": 15, "dog": 15, "car": 13, "balloon": 26, "boat": 24, "tree": 42, "rocket": 44}
BARE: Final = {"desert": scenery.SAND, "snow": scenery.SNOW}
STANDING: Final[Mapping[str, Callable[[Canvas, Heights], None]]] = {
    "castle": lambda c, _at: scenery.castle(c),
    "forest": scenery.forest,
    "snow": scenery.forest,
    "village": lambda c, at: scenery.houses(c, lambda x: at(x) - 8 * c.u),
    "road": scenery.road,
    "meadow": scenery.flowers,
}


def draw(text: str, seed: int, width: int, height: int, format: str = "png") -> bytes:
    """One encoded picture, `width` x `height` pixels; `format` is png, jpeg or webp."""
    digest = hashlib.sha256(f"{seed}\0{text}".encode("utf-8", "replace")).digest()
    chance = random.Random(digest)  # noqa: S311  # reproducible chance is the point
    canvas = _compose(stems(text), width, height, chance)
    caption(canvas.image, text)
    return encode(canvas.image, format)


def stems(text: str) -> set[str]:
    """Its words, each also without a plural's s."""
    return {stem for word in re.findall(r"[a-z]+", text.lower()) for stem in (word, word.removesuffix("s"))}


def _compose(words: set[str], width: int, height: int, chance: random.Random) -> Canvas:
    mood = named(words, {name: keys for name, (_, keys) in MOODS.items()}) or [chance.choice(sorted(MOODS))]
    places = named(words, PLACES)[:3] or [chance.choice(sorted(PLACES))]
    canvas = Canvas(width, height, MOODS[mood[0]][0].turned(chance.uniform(-0.035, 0.035)), chance)
    at = _place(canvas, places)
    cast = named(words, FIGURES)[:3] or chance.choice((["person"], ["tree"], ["tree", "person"], ["balloon"]))
    if "person" in cast and words & SEVERAL:
        cast = [*cast, "person", "person"][:3]
    _people(canvas, places, cast, at)
    if words & {"rain", "rainy", "storm", "thunder"}:
        scenery.rain(canvas)
    if "snow" in places:
        scenery.snowfall(canvas)
    return canvas


def named(words: set[str], table: Mapping[str, str]) -> list[str]:
    """The entries whose keywords the text holds, the best match first."""
    hits = {name: len(words.intersection(keys.split())) for name, keys in table.items()}
    return sorted((name for name, number in hits.items() if number), key=lambda name: -hits[name])


def _place(c: Canvas, places: list[str]) -> Heights:
    """The first place that fills the view, then everything else that was named and can stand in it."""
    if "space" in places:
        return scenery.space(c)
    scenery.sky(c)
    if {"mountain", "snow"}.intersection(places) and "sea" not in places:
        scenery.mountains(c)
    if "sea" in places:
        at = scenery.sea(c)
    elif "city" in places:
        at = scenery.city(c)
    elif bare := [BARE[name] for name in places if name in BARE]:
        at = scenery.ground(c, bare[0])
    else:
        at = scenery.land(c)
    for name in places:
        if name in STANDING and "city" not in places and "sea" not in places:
            STANDING[name](c, at)
    if not c.palette.dark and "city" not in places:
        scenery.birds(c)
    return at


def _people(c: Canvas, places: list[str], cast: list[str], at: Heights) -> None:
    if "sea" in places and set(cast) - {"boat", "balloon"}:
        figures.boat(c, (c.sun[0], at(0) - 6 * c.u), 17 * c.u)
        cast = [name for name in cast if name != "boat"]
        at = scenery.shore(c)
    start = c.chance.uniform(0.3, 0.7) if len(cast) == 1 else c.chance.uniform(0.2, 0.3)
    for index, name in enumerate(cast):
        x = c.width * (start + index * 0.5 / max(1, len(cast) - 1))
        size = FIGURE_HEIGHTS.get(name, 30) * c.chance.uniform(0.9, 1.15) * c.u
        foot = min(at(x) + c.chance.uniform(2, 5) * c.u, c.height * 0.86)
        PAINT[name](c, (x, foot), size)


def caption(image: Image.Image, text: str) -> None:
    """The first words of the prompt on a dark strip, two lines at most, whatever characters they hold."""
    width, height = image.size
    size = max(9, round(min(width, height) * 0.031))
    font = _font(size)
    lines = _wrap(_printable(text), font, width - 2 * size)
    if not lines or height < 6 * size:
        return
    strip = round(len(lines) * size * 1.35 + size * 1.2)
    shade = Image.new("L", (1, 4))
    shade.putdata([0, 120, 185, 205])
    reach = strip + 2 * size
    mask = shade.resize((1, reach), Image.Resampling.BICUBIC).resize((width, reach), Image.Resampling.NEAREST)
    image.paste((10, 12, 20), (0, height - reach, width, height), mask)
    pen = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        pen.text((size, height - strip + size * 0.4 + index * size * 1.35), line, fill=(246, 244, 238), font=font)


def _printable(text: str) -> str:
    """Control, bidirectional and unpaired characters are dropped: they could turn the caption around or break it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[: EXCERPT_CHARS * 2]).split())


def _wrap(text: str, font: ImageFont.FreeTypeFont, limit: int) -> list[str]:
    """Two lines at most; what does not fit ends in an ellipsis, a word wider than the picture is cut."""
    rest, lines = text[:EXCERPT_CHARS], list[str]()
    while rest and len(lines) < CAPTION_LINES:
        fits = _fitting(rest, font, limit)
        end = len(rest) if fits == len(rest) else rest.rfind(" ", 0, fits + 1)
        end = end if end > 0 else max(1, fits)
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    if rest or len(text) > EXCERPT_CHARS:
        last = lines[-1]
        lines[-1] = last[: _fitting(last, font, limit - font.getlength("…"))].rstrip() + "…"
    return lines


def _fitting(text: str, font: ImageFont.FreeTypeFont, limit: float) -> int:
    """How many leading characters are at most `limit` pixels wide."""
    return bisect.bisect_right(range(1, len(text) + 1), limit, key=lambda number: font.getlength(text[:number]))


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(RobotoMedium, size, layout_engine=ImageFont.Layout.BASIC)


def encode(image: Image.Image, format: str) -> bytes:
    out = io.BytesIO()
    match format:
        case "png":
            image.save(out, "PNG", compress_level=1)
        case "jpeg":
            image.save(out, "JPEG", quality=88)
        case "webp":
            image.save(out, "WEBP", quality=80, method=0)
        case _:
            raise ValueError(f"the sandbox draws png, jpeg and webp, not {format!r}")
    return out.getvalue()
