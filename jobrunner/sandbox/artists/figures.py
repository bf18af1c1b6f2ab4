"""Who and what stands in a scene: each function paints one figure, `foot` being where it touches the ground."""

from typing import Final

from jobrunner.sandbox.artists.canvas import Canvas, Colour, Point, mix
from jobrunner.sandbox.artists.scenery import LAMP, SNOW

LOOKS: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((245, 208, 178), (176, 112, 52)),
    ((236, 190, 150), (70, 44, 30)),
    ((196, 140, 98), (34, 26, 26)),
    ((134, 88, 62), (22, 18, 20)),
)
"""Skin and hair."""


def shadow(c: Canvas, foot: Point, reach: float) -> None:
    x, y = foot
    tone = mix(c.at(x, y + c.u), c.palette.ink, 0.45)
    c.pen.ellipse((x - reach, y - c.u * 0.9, x + reach, y + c.u * 0.9), fill=tone)


def person(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    coat = c.chance.choice((c.palette.accent, mix(c.palette.accent, c.palette.ink, 0.5), (176, 58, 52), (46, 82, 122)))
    dim = 0.35 if c.palette.dark else 0.08
    coat, ink = mix(coat, c.palette.ink, dim), mix(c.palette.ink, (20, 20, 28), 0.5)
    skin, hair = (mix(tone, c.palette.ink, dim) for tone in c.chance.choice(LOOKS))
    shadow(c, foot, height * 0.22)
    for side in (-1, 1):
        c.shape([(x + side * height * 0.02, y - height * 0.4), (x + side * height * 0.1, y - height * 0.4),
                 (x + side * height * 0.09, y), (x + side * height * 0.03, y)], ink)  # fmt: skip
        c.pen.line((x + side * height * 0.1, y - height * 0.74, x + side * height * 0.17, y - height * 0.42),
                   fill=mix(coat, ink, 0.25), width=max(2, round(height * 0.06)))  # fmt: skip
        c.disc(x + side * height * 0.172, y - height * 0.4, height * 0.03, skin)
    c.shape([(x - height * 0.11, y - height * 0.77), (x + height * 0.11, y - height * 0.77),
             (x + height * 0.15, y - height * 0.3), (x - height * 0.15, y - height * 0.3)], coat)  # fmt: skip
    c.box(x - height * 0.13, y - height * 0.52, height * 0.26, height * 0.025, mix(coat, ink, 0.5))
    c.shape([(x - height * 0.1, y - height * 0.79), (x + height * 0.1, y - height * 0.79),
             (x + height * 0.05, y - height * 0.71), (x - height * 0.07, y - height * 0.71)], LAMP)  # fmt: skip
    c.disc(x, y - height * 0.885, height * 0.098, hair)
    c.disc(x + height * 0.015, y - height * 0.868, height * 0.076, skin)
    for eye in (-0.008, 0.05):
        c.disc(x + height * eye, y - height * 0.872, height * 0.01, ink)


def robot(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    steel = mix((176, 188, 198), c.palette.ink, 0.4 if c.palette.dark else 0.15)
    dim, width = mix(steel, c.palette.ink, 0.4), max(2, round(height * 0.05))
    shadow(c, foot, height * 0.26)
    for side in (-1, 1):
        c.box(x + side * height * 0.09 - height * 0.04, y - height * 0.3, height * 0.08, height * 0.3, dim)
        c.pen.line((x + side * height * 0.18, y - height * 0.64, x + side * height * 0.27, y - height * 0.36),
                   fill=dim, width=width)  # fmt: skip
        c.disc(x + side * height * 0.27, y - height * 0.35, height * 0.04, c.palette.accent)
    body = (x - height * 0.19, y - height * 0.68, x + height * 0.19, y - height * 0.26)
    c.pen.rounded_rectangle(body, radius=height * 0.05, fill=steel)
    c.disc(x, y - height * 0.48, height * 0.06, c.palette.accent)
    c.pen.line((x, y - height * 1.02, x, y - height * 0.9), fill=dim, width=max(1, width // 2))
    c.disc(x, y - height * 1.03, height * 0.03, c.palette.accent)
    head = (x - height * 0.14, y - height * 0.93, x + height * 0.14, y - height * 0.7)
    c.pen.rounded_rectangle(head, radius=height * 0.05, fill=mix(steel, SNOW, 0.25))
    for side in (-1, 1):
        c.glow((x + side * height * 0.06, y - height * 0.82), height * 0.09, LAMP, 0.8)
        c.disc(x + side * height * 0.06, y - height * 0.82, height * 0.028, LAMP)


def cat(c: Canvas, foot: Point, height: float) -> None:
    """Sits and looks away. Also stands in for other small animals."""
    x, y = foot
    fur = mix(c.chance.choice(((44, 40, 46), (208, 128, 66), (222, 214, 202))), c.palette.ink, 0.2)
    shadow(c, foot, height * 0.5)
    tail = (x + height * 0.1, y - height * 0.45, x + height * 0.62, y + height * 0.02)
    c.pen.arc(tail, -60, 120, fill=fur, width=max(2, round(height * 0.09)))
    c.pen.ellipse((x - height * 0.27, y - height * 0.62, x + height * 0.27, y + height * 0.03), fill=fur)
    c.disc(x, y - height * 0.7, height * 0.2, fur)
    for side in (-1, 1):
        c.shape([(x + side * height * 0.19, y - height * 0.72), (x + side * height * 0.17, y - height * 1.02),
                 (x + side * height * 0.02, y - height * 0.86)], fur)  # fmt: skip


def dog(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    fur = mix(c.chance.choice(((120, 78, 46), (66, 54, 48), (214, 186, 148))), c.palette.ink, 0.2)
    shadow(c, foot, height * 0.7)
    for share in (-0.42, -0.28, 0.24, 0.38):
        c.box(x + share * height, y - height * 0.4, height * 0.09, height * 0.4, mix(fur, c.palette.ink, 0.25))
    body = (x - height * 0.46, y - height * 0.66, x + height * 0.5, y - height * 0.28)
    c.pen.rounded_rectangle(body, radius=height * 0.17, fill=fur)
    c.pen.line((x - height * 0.42, y - height * 0.55, x - height * 0.66, y - height * 0.85), fill=fur,
               width=max(2, round(height * 0.08)))  # fmt: skip
    c.disc(x + height * 0.52, y - height * 0.78, height * 0.2, fur)
    snout = (x + height * 0.5, y - height * 0.82, x + height * 0.86, y - height * 0.64)
    c.pen.rounded_rectangle(snout, radius=height * 0.08, fill=fur)
    c.pen.ellipse((x + height * 0.36, y - height * 0.94, x + height * 0.5, y - height * 0.6),
                  fill=mix(fur, c.palette.ink, 0.4))  # fmt: skip
    c.disc(x + height * 0.85, y - height * 0.78, height * 0.04, c.palette.ink)


def boat(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    hull, sail = mix((112, 58, 40), c.palette.ink, 0.25), mix(SNOW, c.palette.light, 0.3)
    c.pen.line((x, y, x, y - height), fill=c.palette.ink, width=max(1, round(height * 0.025)))
    c.shape([(x + height * 0.03, y - height * 0.97), (x + height * 0.46, y - height * 0.24),
             (x + height * 0.03, y - height * 0.2)], sail)  # fmt: skip
    c.shape([(x - height * 0.03, y - height * 0.85), (x - height * 0.34, y - height * 0.24),
             (x - height * 0.03, y - height * 0.2)], mix(sail, c.palette.accent, 0.55))  # fmt: skip
    c.shape([(x - height * 0.46, y - height * 0.15), (x + height * 0.54, y - height * 0.17),
             (x + height * 0.36, y + height * 0.04), (x - height * 0.32, y + height * 0.04)], hull)  # fmt: skip
    c.box(x - height * 0.4, y + height * 0.05, height * 0.85, height * 0.02, mix(c.palette.light, hull, 0.4))


def car(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    paint = mix(c.palette.accent, c.palette.ink, 0.25 if c.palette.dark else 0.05)
    glass = mix(c.palette.sky[1], SNOW, 0.35)
    shadow(c, foot, height * 1.15)
    c.shape([(x - height * 0.6, y - height * 0.5), (x - height * 0.36, y - height * 0.95),
             (x + height * 0.3, y - height * 0.95), (x + height * 0.62, y - height * 0.5)], paint)  # fmt: skip
    c.shape([(x - height * 0.46, y - height * 0.52), (x - height * 0.29, y - height * 0.86),
             (x + height * 0.25, y - height * 0.86), (x + height * 0.48, y - height * 0.52)], glass)  # fmt: skip
    c.box(x - height * 0.03, y - height * 0.88, height * 0.06, height * 0.4, paint)
    body = (x - height * 1.02, y - height * 0.54, x + height * 1.05, y - height * 0.12)
    c.pen.rounded_rectangle(body, radius=height * 0.14, fill=paint)
    for side in (-1, 1):
        c.disc(x + side * height * 0.58, y - height * 0.13, height * 0.2, mix(c.palette.ink, (12, 12, 14), 0.6))
        c.disc(x + side * height * 0.58, y - height * 0.13, height * 0.09, mix(SNOW, paint, 0.3))
    c.glow((x + height * 1.02, y - height * 0.38), height * 0.5, LAMP, 0.7)
    c.disc(x + height * 0.98, y - height * 0.38, height * 0.07, LAMP)


def rocket(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    y -= height * 0.45
    shell = mix(SNOW, c.palette.ink, 0.12)
    c.glow((x, y + height * 0.1), height * 0.45, LAMP, 0.8)
    c.shape([(x - height * 0.1, y), (x + height * 0.1, y), (x, y + height * 0.42)], (255, 170, 70))
    for side in (-1, 1):
        c.shape([(x + side * height * 0.12, y - height * 0.28), (x + side * height * 0.27, y + height * 0.06),
                 (x + side * height * 0.08, y)], c.palette.accent)  # fmt: skip
    c.pen.ellipse((x - height * 0.16, y - height * 0.95, x + height * 0.16, y + height * 0.14), fill=shell)
    c.box(x - height * 0.14, y - height * 0.12, height * 0.28, height * 0.05, c.palette.accent)
    c.disc(x, y - height * 0.52, height * 0.075, c.palette.accent)
    c.disc(x, y - height * 0.52, height * 0.05, mix(c.palette.sky[0], SNOW, 0.4))


def balloon(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot[0], min(foot[1] - height * 1.3, c.horizon - height * 0.2)
    stripes = (c.palette.accent, mix(SNOW, c.palette.light, 0.3))
    for index in range(5):
        half = height * (0.42 - index * 0.095)
        c.pen.ellipse((x - half, y - height, x + half, y - height * 0.12), fill=stripes[index % 2])
    for side in (-1, 1):
        c.pen.line((x + side * height * 0.16, y - height * 0.18, x + side * height * 0.06, y + height * 0.06),
                   fill=c.palette.ink, width=max(1, round(c.u * 0.25)))  # fmt: skip
    c.box(x - height * 0.075, y + height * 0.05, height * 0.15, height * 0.12, mix((120, 78, 46), c.palette.ink, 0.2))
