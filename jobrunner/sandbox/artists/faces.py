"""Finds the faces that `figures` draws in the frames of a clip: a lighter disc with two dark eyes on a darker one.

They are looked for by correlation with that pattern over the whole picture once a second, and followed from frame to
frame in between, wherever the camera moves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
Grey = NDArray[np.float32]

SEARCH_SIDE: Final = 240
"""The picture is looked over at a size whose shorter side has about this many pixels."""
RADII: Final = tuple(0.022 * 1.1**step for step in range(14))
"""Heads that are looked for, in shorter sides of the picture: from a far figure to a close portrait."""
SMALLEST: Final = 5.0
"""The radius in pixels, there, below which nothing can be told from a head."""
FOUND, FOLLOWED = 0.8, 0.65
"""How well the pattern must fit, from -1 to 1, for a face to be new, and to be still there."""
MOST_FACES: Final = 6
SKIN_CR, SKIN_CB = 131, 127
"""Skin is redder and less blue than grey, which is 128 in both."""
EYE_DARKNESS: Final = 0.7
"""Of the skin's brightness: eyes are darker than that."""
SKIN_AT, SKIN_RADIUS = (0.153, 0.173), 0.776
EYES, EYE_RADIUS = ((-0.082, 0.133), (0.51, 0.133)), 0.102
CHEEK, MOUTH_AT = (0.214, 0.42), (0.214, 0.6)
"""From the middle of the head, in its radii; y grows downwards. As `figures.person` draws it."""


@dataclass(frozen=True)
class Face:
    """The middle and radius of a head, in pixels."""

    x: float
    y: float
    radius: float

    def near(self, other: "Face") -> bool:
        return abs(self.x - other.x) + abs(self.y - other.y) < 1.5 * max(self.radius, other.radius)


class Picture:
    """One frame's planes: brightness, and the two colours at half the size. Written to in place."""

    def __init__(self, raw: bytes, width: int, height: int) -> None:
        self.data = np.frombuffer(raw, np.uint8).copy()
        light, colour = width * height, (width // 2) * (height // 2)
        self.y: Plane = self.data[:light].reshape(height, width)
        self.cb: Plane = self.data[light : light + colour].reshape(height // 2, width // 2)
        self.cr: Plane = self.data[light + colour :].reshape(height // 2, width // 2)

    def has_face(self, face: Face) -> bool:
        """Below the eyes is a colour that skin can have, and both eyes are much darker: no moon, no cloud."""
        skin, *eyes = (self._around(face, at) for at in (CHEEK, *EYES))
        if not skin.size or not all(eye.size for eye in eyes):
            return False
        light, cb, cr = (float(part) for part in skin.mean(axis=0))
        coloured = cr >= SKIN_CR and cb <= SKIN_CB
        return coloured and all(float(eye[:, 0].min()) < EYE_DARKNESS * light for eye in eyes)

    def _around(self, face: Face, at: tuple[float, float]) -> NDArray[np.uint8]:
        """The pixels around a place in the head, of shape (pixels, 3): Y, Cb and Cr."""
        x, y = face.x + at[0] * face.radius, face.y + at[1] * face.radius
        reach = max(1, round(face.radius / 10))
        rows = np.arange(max(0, round(y) - reach), min(self.y.shape[0] // 2 * 2, round(y) + reach + 1))
        columns = np.arange(max(0, round(x) - reach), min(self.y.shape[1] // 2 * 2, round(x) + reach + 1))
        full, half = np.ix_(rows, columns), np.ix_(rows // 2, columns // 2)
        return np.stack([self.y[full], self.cb[half], self.cr[half]], axis=-1).reshape(-1, 3)


@lru_cache(maxsize=256)
def pattern(radius: float) -> tuple[Grey, Grey]:
    """What a head of `radius` pixels looks like, its mean taken off, and where it counts."""
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1] / radius

    def disc(at: tuple[float, float], size: float) -> NDArray[np.float64]:
        inside: NDArray[np.float64] = np.clip((size - np.hypot(columns - at[0], rows - at[1])) * radius + 0.5, 0, 1)
        return inside

    head = disc((0, 0), 1.0)
    light = 0.15 + 0.85 * disc(SKIN_AT, SKIN_RADIUS)
    for eye in EYES:
        light = light * (1 - disc(eye, EYE_RADIUS))
    light = (light - np.sum(light * head) / np.sum(head)) * head
    return light.astype(np.float32), head.astype(np.float32)


@lru_cache(maxsize=64)
def spectra(radius: float, shape: tuple[int, int]) -> tuple[Any, Any, float, float]:
    """The pattern ready to be correlated with a picture of `shape`; its energy, and how many pixels count."""
    light, head = pattern(radius)
    turned = [np.conj(np.fft.rfft2(part, shape)) for part in (light, head)]
    return turned[0], turned[1], float(np.sum(light**2)), float(np.sum(head))


def fits(grey: Grey, radii: Sequence[float]) -> Iterator[tuple[float, Grey]]:
    """For each radius how well a head fits, from -1 to 1, at each place of its box's corner: normalised correlation."""
    shape = (grey.shape[0], grey.shape[1])
    level = grey - grey.mean()
    once, squared = np.fft.rfft2(level), np.fft.rfft2(level**2)
    for radius in radii:
        side = 2 * int(np.ceil(radius)) + 1
        if side >= min(shape):
            return
        light, head, energy, count = spectra(radius, shape)
        match, total, power = (np.fft.irfft2(each, shape) for each in (once * light, once * head, squared * head))
        spread = np.sqrt(np.maximum(power - total**2 / count, count * 4.0) * energy)
        yield radius, (match / spread)[: shape[0] - side + 1, : shape[1] - side + 1].astype(np.float32)


def search(picture: Picture) -> list[Face]:
    """The faces of the whole picture, the surest first."""
    step = max(1, round(min(picture.y.shape) / SEARCH_SIDE))
    height, width = (size // step * step for size in picture.y.shape)
    blocks = picture.y[:height, :width].reshape(height // step, step, width // step, step)
    grey = blocks.mean(axis=(1, 3), dtype=np.float32)
    seen: list[tuple[float, Face]] = []
    for radius, fit in fits(grey, [radius for share in RADII if (radius := share * min(grey.shape)) >= SMALLEST]):
        reach = int(np.ceil(radius))
        for row, column in np.argwhere(fit > FOUND - 0.1):
            x, y = ((float(at) + reach + 0.5) * step - 0.5 for at in (column, row))
            seen.append((float(fit[row, column]), Face(x, y, radius * step)))
    found: list[Face] = []
    tried: list[Face] = []
    for _, rough in sorted(seen, key=lambda each: -each[0]):
        if not any(rough.near(other) for other in tried):
            tried.append(rough)
            score, face = follow(picture, rough, (0.94, 1.0, 1.06))
            if score >= FOUND and picture.has_face(face):
                found.append(face)
    return found[:MOST_FACES]


def follow(picture: Picture, face: Face, sizes: Sequence[float] = (0.985, 1.0, 1.015)) -> tuple[float, Face]:
    """Where the face is now, and how well it fits: -1 if it cannot be there."""
    reach = 1.6 * face.radius + 4
    top, left = max(0, int(face.y - reach)), max(0, int(face.x - reach))
    grey = picture.y[top : int(face.y + reach) + 1, left : int(face.x + reach) + 1].astype(np.float32)
    best, seen = -1.0, face
    for radius, fit in fits(grey, [face.radius * size for size in sizes]) if grey.size else ():
        row, column = np.unravel_index(int(np.argmax(fit)), fit.shape)
        if fit[row, column] > best:
            corner = int(np.ceil(radius))
            best = float(fit[row, column])
            x = left + corner + column + between(fit[row, :], int(column))
            y = top + corner + row + between(fit[:, column], int(row))
            seen = Face(float(x), float(y), radius)
    return best, seen


def between(line: Grey, at: int) -> float:
    """How far the top of the curve through a maximum and its neighbours lies from it, in pixels."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = (float(line[at + side]) for side in (-1, 0, 1))
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend else 0.0


class Watch:
    """Knows the faces of the frame it was last shown."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._count = 0
        self._faces: list[Face] = []

    def faces(self, picture: Picture) -> list[Face]:
        """Looks the whole picture over every so often, and when a face is lost."""
        followed = [follow(picture, face) for face in self._faces]
        kept = [face for score, face in followed if score >= FOLLOWED]
        if self._count % self._every == 0 or len(kept) < len(self._faces):
            kept += [new for new in search(picture) if not any(new.near(old) for old in kept)]
        self._count += 1
        self._faces = kept
        return kept
