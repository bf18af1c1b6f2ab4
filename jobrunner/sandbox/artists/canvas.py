"""What the artist paints on: a canvas with a palette, a horizon and its own stream of chance."""

import colorsys
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Palette:
    """`sky` from zenith to horizon; `far` and `near` bound the land; `light` is the sun, `ink` the silhouettes."""

    sky: tuple[Colour, Colour, Colour]
    far: Colour
    near: Colour
    light: Colour
    accent: Colour
    ink: Colour
    dark: bool = False

    def turned(self, hue: float) -> "Palette":
        """The same mood in a slightly different key; the light keeps its colour."""
        top, middle, low = self.sky
        sky = turn(top, hue), turn(middle, hue), turn(low, hue / 2)
        land = turn(self.far, hue), turn(self.near, hue)
        return Palette(sky, *land, self.light, turn(self.accent, hue * 3), turn(self.ink, hue), self.dark)


def colour(text: str) -> Colour:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` at share 0, `other` at share 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def turn(one: Colour, hue: float) -> Colour:
    h, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in one))
    red, green, blue = colorsys.hls_to_rgb((h + hue) % 1, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


class Canvas:
    """Lengths are given in `u`, one hundredth of the shorter side, so every format looks alike."""

    def __init__(self, width: int, height: int, palette: Palette, chance: random.Random) -> None:
        self.image = Image.new("RGB", (width, height), palette.sky[2])
        self.pen: Any = ImageDraw.Draw(self.image)
        self.width, self.height = width, height
        self.palette, self.chance = palette, chance
        self.u = min(width, height) / 100
        self.horizon = height * chance.uniform(0.5, 0.62)
        self.sun = (width * chance.choice((0.22, 0.32, 0.68, 0.78)), self.horizon - chance.uniform(12, 34) * self.u)

    def gradient(self, top: float, bottom: float, stops: Sequence[Colour]) -> None:
        """Blend `stops` down the canvas: drawn one pixel wide and a few high, stretched by the resampler."""
        height = max(1, round(bottom) - round(top))
        strip = Image.new("RGB", (1, len(stops)))
        strip.putdata(list(stops))
        column = strip.resize((1, height), Image.Resampling.BICUBIC)
        self.image.paste(column.resize((self.width, height), Image.Resampling.NEAREST), (0, round(top)))

    def glow(self, centre: Point, radius: float, tint: Colour, strength: float) -> None:
        side = max(2, round(radius * 2))
        # Pillow's gradient reaches 255 in the corners, 181 at the edges: end there, or the square shows.
        fades = [max(0.0, 1 - distance / 180) ** 1.6 for distance in range(256)]
        fall = Image.radial_gradient("L").point([round(255 * fade * strength) for fade in fades])
        mask = fall.resize((side, side), Image.Resampling.BILINEAR)
        corner = round(centre[0] - radius), round(centre[1] - radius)
        self.image.paste(tint, (corner[0], corner[1], corner[0] + side, corner[1] + side), mask)

    def at(self, x: float, y: float) -> Colour:
        """The colour there, or at the nearest edge."""
        inside = min(self.width - 1, max(0, round(x))), min(self.height - 1, max(0, round(y)))
        red, green, blue = self.image.crop((*inside, inside[0] + 1, inside[1] + 1)).tobytes()
        return red, green, blue

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """A filled rectangle from its top left corner."""
        if width > 0 and height > 0:
            self.pen.rectangle((x, y, x + width, y + height), fill=fill)

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        self.pen.polygon(points, fill=fill)

    def ridge(self, base: float, rise: float, fill: Colour, *, jagged: bool = False) -> Callable[[float], float]:
        """A line of hills or peaks filled down to the bottom. Answers its height (y) at any x."""
        chance, span = self.chance, 100 * self.u
        waves = [
            (chance.uniform(0.6, 1.2) * 2**octave, chance.uniform(0, 7), rise / (1.9**octave))
            for octave in range(5 if jagged else 2)
        ]

        def at(x: float) -> float:
            turns = [(math.tau * rate * x / span / 2 + phase, amount) for rate, phase, amount in waves]
            if jagged:
                return base - sum((1 - abs(math.sin(angle))) * amount for angle, amount in turns) * 0.8
            return base - sum(math.sin(angle) * amount for angle, amount in turns) * 0.5

        step = max(1, self.width // (160 if jagged else 60))
        line = [(float(x), at(x)) for x in range(0, self.width + step, step)]
        self.shape([(0, self.height), *line, (self.width + step, self.height)], fill)
        return at
