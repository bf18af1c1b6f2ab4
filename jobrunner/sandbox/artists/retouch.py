"""Changes a given picture as words ask: its light turns to the mood they name, what they name is painted in.

No understanding, and no pretence of one: the caption shows the instruction, and equal orders give equal bytes.
"""

import hashlib
import io
import random
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageChops, ImageOps

from jobrunner.sandbox.artists import artist
from jobrunner.sandbox.artists.canvas import Canvas

LIGHT: Final = 0.45
"""How much of the new light lies over the old picture."""
INSET: Final = 0.22
"""The share of the width that each further picture takes."""


def edit(
    pictures: Sequence[bytes], mask: bytes | None, text: str, *, seed: int, size: tuple[int, int], format: str
) -> bytes:
    """The first of `pictures` (encoded) fitted to `size` in pixels and changed, the others set into it.

    Only where `mask` (a PNG) is transparent, if there is one. Raises OSError for what is no picture.
    """
    digest = hashlib.sha256(f"{seed}\0{text}".encode("utf-8", "replace")).digest()
    chance = random.Random(digest)  # noqa: S311  # reproducible chance is the point
    given = [ImageOps.fit(_opened(picture).convert("RGB"), size) for picture in pictures]
    canvas = _relit(given[0], text, chance)
    _paint(canvas, text)
    if mask is not None:
        keep = ImageOps.fit(_opened(mask).convert("RGBA").getchannel("A"), size)
        canvas.image.paste(given[0], (0, 0), keep)
    for index, other in enumerate(given[1:]):
        _inset(canvas, other, index)
    artist.caption(canvas.image, text)
    return artist.encode(canvas.image, format)


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height in pixels. Raises OSError for what is no whole picture."""
    opened = _opened(picture)
    opened.load()
    return opened.size


def _opened(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


def _relit(picture: Image.Image, text: str, chance: random.Random) -> Canvas:
    """The picture on a canvas, in the light of the mood that the words name, or of one by chance."""
    moods = {name: keys for name, (_, keys) in artist.MOODS.items()}
    mood = (artist.named(artist.stems(text), moods) or [chance.choice(sorted(moods))])[0]
    canvas = Canvas(*picture.size, artist.MOODS[mood][0].turned(chance.uniform(-0.05, 0.05)), chance)
    canvas.gradient(0, canvas.height, (*canvas.palette.sky, canvas.palette.near))
    lit = ImageChops.soft_light(picture, canvas.image)
    canvas.image.paste(Image.blend(lit, canvas.image, LIGHT))
    return canvas


def _paint(canvas: Canvas, text: str) -> None:
    cast = artist.named(artist.stems(text), artist.FIGURES)[:3]
    for index, name in enumerate(cast):
        foot = canvas.width * (index + 1) / (len(cast) + 1), canvas.height * 0.84
        artist.PAINT[name](canvas, foot, artist.FIGURE_HEIGHTS.get(name, 30) * 1.2 * canvas.u)


def _inset(canvas: Canvas, picture: Image.Image, index: int) -> None:
    """A framed miniature in the top row, four of them to a row."""
    width, gap = round(canvas.width * INSET), round(canvas.u * 2)
    small = ImageOps.expand(picture.resize((width, max(1, width * canvas.height // canvas.width))), gap // 2, "white")
    canvas.image.paste(small, (gap + index % 4 * (width + gap), gap + index // 4 * (small.height + gap)))
