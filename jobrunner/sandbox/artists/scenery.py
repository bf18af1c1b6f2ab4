"""Places and weather: each function paints one element of a scene on a canvas."""

# ruff: noqa: PLR2004  # proportions of a drawing mean nothing by name

from collections.abc import Callable
from typing import Final

from jobrunner.sandbox.artists.canvas import Canvas, Colour, Point, mix

SNOW: Final[Colour] = (238, 243, 250)
SAND: Final[Colour] = (219, 176, 116)
LAMP: Final[Colour] = (255, 214, 138)


def sky(c: Canvas) -> None:
    c.gradient(0, c.horizon + 6 * c.u, c.palette.sky)
    x, y = c.sun
    radius = c.chance.uniform(5, 9) * c.u
    if c.palette.dark:
        stars(c)
        c.glow(c.sun, radius * 5, c.palette.light, 0.45)
        c.disc(x, y, radius * 0.8, c.palette.light)
        for dx, dy, size in ((-0.25, -0.2, 0.17), (0.2, 0.25, 0.22), (0.3, -0.25, 0.1)):
            c.disc(x + dx * radius, y + dy * radius, size * radius * 0.8, mix(c.palette.light, c.palette.sky[1], 0.2))
    else:
        c.glow(c.sun, radius * 8, c.palette.light, 0.75)
        c.disc(x, y, radius, mix(c.palette.light, (255, 255, 255), 0.35))
        clouds(c)


def stars(c: Canvas) -> None:
    for _ in range(90):
        x, y = c.chance.uniform(0, c.width), c.chance.uniform(0, c.horizon * 0.9)
        shine = mix(c.palette.sky[0], (255, 255, 255), c.chance.uniform(0.35, 0.95))
        c.disc(x, y, c.chance.uniform(0.08, 0.28) * c.u, shine)


def clouds(c: Canvas) -> None:
    for _ in range(c.chance.randint(2, 4)):
        x, y = c.chance.uniform(0, c.width), c.chance.uniform(0.06, 0.55) * c.horizon
        depth = y / c.horizon
        fill = mix(mix(c.palette.sky[1], (255, 255, 255), 0.55), c.palette.sky[2], depth * 0.7)
        length = c.chance.uniform(14, 30) * c.u
        for _ in range(6):
            offset, size = c.chance.uniform(-0.5, 0.5), c.chance.uniform(1.2, 3.2) * c.u
            size *= 1.2 - abs(offset)
            c.disc(x + offset * length, y - size * 0.4, size, fill)
        c.pen.rounded_rectangle(
            (x - length * 0.55, y - 1.4 * c.u, x + length * 0.55, y + c.u), radius=1.2 * c.u, fill=fill
        )


def birds(c: Canvas) -> None:
    x, y = c.chance.uniform(0.3, 0.7) * c.width, c.chance.uniform(0.2, 0.4) * c.horizon
    for _ in range(c.chance.randint(3, 6)):
        left, top = x + c.chance.uniform(-14, 14) * c.u, y + c.chance.uniform(-7, 7) * c.u
        span = c.chance.uniform(1.2, 2.2) * c.u
        wings = ((left - span, top - span * 0.4), (left, top), (left + span, top - span * 0.4))
        c.pen.line(wings, fill=c.palette.ink, width=max(1, round(c.u * 0.35)))


def land(c: Canvas) -> Callable[[float], float]:
    """Hills in three depths, paler with distance. Answers the height of the foreground."""
    haze, far, near = c.palette.sky[2], c.palette.far, c.palette.near
    c.ridge(c.horizon, 9 * c.u, mix(haze, far, 0.45))
    c.ridge(c.horizon + 6 * c.u, 6 * c.u, mix(far, near, 0.35))
    c.ridge(c.horizon + 14 * c.u, 5 * c.u, mix(far, near, 0.7))
    return c.ridge(c.horizon + 25 * c.u, 3 * c.u, near)


def mountains(c: Canvas) -> None:
    haze, far = c.palette.sky[2], c.palette.far
    c.ridge(c.horizon + 2 * c.u, 17 * c.u, mix(haze, far, 0.35), jagged=True)
    top = mix(SNOW, haze, 0.25)
    at = c.ridge(c.horizon + 8 * c.u, 15 * c.u, mix(haze, far, 0.75), jagged=True)
    step = c.u * 0.6
    for index in range(int(c.width / step) + 1):
        x = index * step
        if (snow := c.horizon - 10 * c.u - at(x)) > 0:
            depth = at(x) + snow * c.chance.uniform(0.35, 0.9)
            c.shape([(x, at(x)), (x + step, at(x + step)), (x + step, depth), (x, depth)], top)


def sea(c: Canvas) -> Callable[[float], float]:
    top, bottom = mix(c.palette.sky[2], c.palette.far, 0.35), mix(c.palette.far, c.palette.ink, 0.45)
    c.gradient(c.horizon, c.height, (top, mix(top, bottom, 0.6), bottom))
    if c.chance.random() < 0.6:
        side = c.chance.choice((0.0, 1.0)) * c.width
        reach, rise = c.chance.uniform(30, 55) * c.u, c.chance.uniform(6, 13) * c.u
        isle = ((side - reach, c.horizon), (side - reach * 0.3, c.horizon - rise * 0.7), (side, c.horizon - rise))
        c.shape([*isle, (side + reach * 0.5, c.horizon - rise * 0.5), (side + reach, c.horizon)], mix(top, bottom, 0.7))
    depth = c.height - c.horizon
    for row in range(46):
        y = c.horizon + depth * (row / 46) ** 1.5
        lit = row % 2 == 0
        spread = (4 + row * 0.5) * c.u if lit else c.width / 2
        x = (c.sun[0] if lit else c.width / 2) + c.chance.uniform(-1, 1) * spread
        length = c.chance.uniform(2, 5) * c.u * (0.5 + row / 30)
        fill = mix(c.palette.light, top, 0.15 + row / 90) if lit else mix(bottom, top, 0.55)
        c.pen.rounded_rectangle((x - length, y, x + length, y + c.u * (0.2 + row / 90)), radius=c.u / 4, fill=fill)
    return lambda _x: c.horizon + depth * 0.42


def ground(c: Canvas, surface: Colour) -> Callable[[float], float]:
    """Open land of one surface (sand, snow): broad waves, lighter toward the light."""
    tone = mix(surface, c.palette.near, 0.45 if c.palette.dark else 0.12)
    haze = c.palette.sky[2]
    c.ridge(c.horizon, 6 * c.u, mix(haze, tone, 0.5))
    c.ridge(c.horizon + 9 * c.u, 6 * c.u, mix(haze, tone, 0.75))
    c.ridge(c.horizon + 17 * c.u, 5 * c.u, mix(tone, c.palette.far, 0.18))
    return c.ridge(c.horizon + 24 * c.u, 3 * c.u, tone)


def city(c: Canvas) -> Callable[[float], float]:
    haze, ink = c.palette.sky[2], c.palette.ink
    base = c.horizon + 22 * c.u
    for depth, tallest in ((0.3, 44), (0.55, 36), (0.85, 26)):
        x = -c.chance.uniform(0, 6) * c.u
        wall = mix(haze, mix(c.palette.far, ink, depth), 0.25 + depth * 0.7)
        while x < c.width:
            width, height = c.chance.uniform(6, 13) * c.u, c.chance.uniform(0.35, 1) * tallest * c.u
            _tower(c, (x, base - height), width, wall, lit=0.75 if c.palette.dark else 0.22)
            x += width + c.chance.choice((0, 0, 0.6, 2.5)) * c.u
    c.box(0, base, c.width, c.height - base, mix(c.palette.near, ink, 0.55))
    c.box(0, base, c.width, 1.2 * c.u, mix(haze, ink, 0.45))
    return lambda _x: base + 14 * c.u


def _tower(c: Canvas, corner: Point, width: float, wall: Colour, *, lit: float) -> None:
    (x, y), u = corner, c.u
    c.box(x, y, width, c.height, wall)
    if c.chance.random() < 0.3:
        c.box(x + width * 0.45, y - 5 * u, 0.5 * u, 5 * u, wall)
    pane, gap = 1.0 * u, 2.3 * u
    dim = mix(wall, c.palette.sky[1], 0.35)
    columns = int((width - u) / gap)
    margin = (width - columns * gap + gap - pane) / 2
    for row in range(int((c.horizon + 20 * u - y) / (gap * 1.25))):
        for column in range(columns):
            shine = c.chance.random()
            if shine < lit:
                fill = LAMP if shine < lit * 0.5 else dim
                c.box(x + margin + column * gap, y + 2 * u + row * gap * 1.25, pane, pane * 1.4, fill)


def houses(c: Canvas, at: Callable[[float], float]) -> None:
    x = c.chance.uniform(2, 10) * c.u
    while x < c.width - 12 * c.u:
        width, height = c.chance.uniform(11, 16) * c.u, c.chance.uniform(8, 11) * c.u
        foot = min(at(x), at(x + width)) + 3 * c.u
        wall = mix(mix(c.palette.accent, SNOW, 0.55), c.palette.ink, 0.45 if c.palette.dark else 0.1)
        roof = mix(c.palette.accent, c.palette.ink, 0.45)
        c.box(x, foot - height, width, height, wall)
        c.box(x + width * 0.72, foot - height * 1.75, 1.8 * c.u, 6 * c.u, roof)
        peak = (x + width / 2, foot - height * 1.85)
        c.shape([(x - 1.5 * c.u, foot - height), peak, (x + width + 1.5 * c.u, foot - height)], roof)
        glass = LAMP if c.palette.dark or c.chance.random() < 0.5 else mix(wall, c.palette.sky[0], 0.6)
        for share in (0.16, 0.62):
            c.box(x + width * share, foot - height * 0.72, width * 0.2, height * 0.28, glass)
        c.box(x + width * 0.43, foot - height * 0.5, width * 0.13, height * 0.5, roof)
        x += width + c.chance.uniform(5, 22) * c.u


def forest(c: Canvas, at: Callable[[float], float]) -> None:
    far, near, ink = c.palette.far, c.palette.near, c.palette.ink
    for depth, number, tall in ((0.25, 26, 15), (0.6, 18, 22), (0.95, 9, 32)):
        fill = mix(mix(far, near, depth), ink, depth * 0.55)
        for index in range(number):
            x = (index + c.chance.uniform(0, 1)) / number * c.width
            if depth > 0.9 and abs(x / c.width - 0.5) < 0.24:
                continue
            foot = at(x) - (16 - 18 * depth) * c.u
            pine(c, (x, foot), c.chance.uniform(0.7, 1.15) * tall * c.u, fill)


def pine(c: Canvas, foot: Point, height: float, fill: Colour) -> None:
    x, y = foot
    c.box(x - height * 0.02, y - height * 0.15, height * 0.04, height * 0.2, mix(fill, (30, 20, 15), 0.6))
    for tier in range(4):
        low, wide = y - height * (0.1 + tier * 0.2), height * (0.24 - tier * 0.05)
        c.shape([(x - wide, low), (x, low - height * 0.36), (x + wide, low)], mix(fill, c.palette.light, tier * 0.035))


def tree(c: Canvas, foot: Point, height: float) -> None:
    x, y = foot
    trunk = mix(c.palette.ink, (86, 54, 34), 0.4)
    c.shape([(x - height * 0.045, y), (x - height * 0.02, y - height * 0.6), (x + height * 0.02, y - height * 0.6),
             (x + height * 0.045, y)], trunk)  # fmt: skip
    leaf = mix(mix(c.palette.accent, c.palette.near, 0.55), c.palette.ink, 0.3)
    for index in range(11):
        dx, dy = c.chance.uniform(-0.25, 0.25) * height, c.chance.uniform(-0.22, 0.16) * height
        shade = mix(leaf, c.palette.light, 0.02 * index)
        c.disc(x + dx, y - height * 0.72 + dy, c.chance.uniform(0.1, 0.17) * height, shade)


def castle(c: Canvas) -> None:
    x, foot = c.width - c.sun[0], c.horizon + 20 * c.u
    stone = mix(mix((150, 144, 150), c.palette.far, 0.45), c.palette.ink, 0.5 if c.palette.dark else 0.15)
    roof = mix(c.palette.accent, c.palette.ink, 0.35)
    c.box(x - 14 * c.u, foot - 16 * c.u, 28 * c.u, 28 * c.u, stone)
    for index in range(8):
        c.box(x + (index * 4 - 15) * c.u, foot - 18 * c.u, 2 * c.u, 2.4 * c.u, stone)
    for offset, tall, wide in ((-16, 25, 7), (16, 22, 7), (0, 36, 9)):
        left, top, width = x + (offset - wide / 2) * c.u, foot - tall * c.u, wide * c.u
        c.box(left, top, width, tall * c.u + 12 * c.u, mix(stone, c.palette.light, 0.1))
        c.shape([(left - c.u, top), (left + width / 2, top - 11 * c.u), (left + width + c.u, top)], roof)
        c.box(left + width / 2 - 0.7 * c.u, top + 5 * c.u, 1.4 * c.u, 3 * c.u, LAMP)
    c.pen.pieslice((x - 3.5 * c.u, foot - 9 * c.u, x + 3.5 * c.u, foot + 9 * c.u), 180, 360, fill=c.palette.ink)


def shore(c: Canvas) -> Callable[[float], float]:
    """A beach in front of the sea, to stand on."""
    base = c.horizon + (c.height - c.horizon) * 0.55
    foam = mix(SNOW, c.palette.sky[2], 0.4)
    state = c.chance.getstate()
    c.ridge(base - 0.9 * c.u, 3 * c.u, foam)
    c.chance.setstate(state)
    return c.ridge(base, 3 * c.u, mix(SAND, c.palette.near, 0.6 if c.palette.dark else 0.25))


def road(c: Canvas, at: Callable[[float], float]) -> None:
    x = c.width * c.chance.uniform(0.4, 0.6)
    top = min(c.horizon + 9 * c.u, at(x))
    asphalt = mix(c.palette.ink, c.palette.sky[2], 0.22)
    low, span = c.height, c.height - top
    c.shape([(x - 2 * c.u, top), (x + 2 * c.u, top), (x + span * 0.75, low), (x - span * 0.75, low)], asphalt)
    for near, end in ((0.02, 0.07), (0.14, 0.24), (0.36, 0.55), (0.72, 1.0)):
        y, to = top + span * near, top + span * end
        c.shape([(x - near * c.u, y), (x + near * c.u, y), (x + end * c.u, to), (x - end * c.u, to)], LAMP)


def flowers(c: Canvas, at: Callable[[float], float]) -> None:
    for _ in range(110):
        x, depth = c.chance.uniform(0, c.width), c.chance.uniform(0.05, 1) ** 0.8
        y = at(x) + depth * (c.height - at(x))
        bright = c.chance.choice((c.palette.accent, c.palette.light, SNOW))
        c.disc(x, y, (0.3 + depth * 0.75) * c.u, mix(bright, c.palette.near, 0.15))


def rain(c: Canvas) -> None:
    for _ in range(140):
        x, y = c.chance.uniform(-0.05, 1.05) * c.width, c.chance.uniform(0, 1) * c.height
        length = c.chance.uniform(2, 5) * c.u
        fill = mix(c.palette.sky[1], SNOW, c.chance.uniform(0.2, 0.55))
        c.pen.line((x, y, x - length * 0.3, y + length), fill=fill, width=max(1, round(c.u * 0.18)))


def snowfall(c: Canvas) -> None:
    for _ in range(130):
        x, y = c.chance.uniform(0, 1) * c.width, c.chance.uniform(0, 1) * c.height
        c.disc(x, y, c.chance.uniform(0.15, 0.6) * c.u, SNOW)


def space(c: Canvas) -> Callable[[float], float]:
    """Orbit instead of landscape: a ringed world and the curve of a nearer one."""
    c.gradient(0, c.height, (mix(c.palette.sky[0], (0, 0, 0), 0.5), c.palette.sky[0], c.palette.far))
    stars(c)
    x, y = c.sun
    radius = c.chance.uniform(11, 17) * c.u
    c.glow((x, y), radius * 2.2, c.palette.accent, 0.35)
    for step in range(7):
        shade = mix(mix(c.palette.accent, c.palette.ink, 0.6), c.palette.light, step / 9)
        c.disc(x - step * radius * 0.05, y - step * radius * 0.06, radius * (1 - step * 0.1), shade)
    ring = (x - radius * 1.8, y - radius * 0.42, x + radius * 1.8, y + radius * 0.42)
    c.pen.arc(ring, -8, 188, fill=mix(c.palette.light, c.palette.accent, 0.3), width=max(1, round(c.u)))
    wide, top = c.width * 1.1, c.horizon + 22 * c.u
    ball = (c.width / 2 - wide, top, c.width / 2 + wide, top + 2 * wide)
    c.pen.ellipse(
        ball, fill=mix(c.palette.near, c.palette.ink, 0.3), outline=c.palette.light, width=max(1, round(c.u / 3))
    )
    return lambda px: top + wide - (max(0.0, wide**2 - (px - c.width / 2) ** 2)) ** 0.5 + 4 * c.u
