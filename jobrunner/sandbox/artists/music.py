"""A program: composes a piece of music or a sound effect from a prompt. JSON on stdin, stereo 16-bit samples on stdout.

The words choose mood, tempo and material where they are known, and seed the chance that chooses the rest: other
words, another piece. It imports nothing of jobrunner, so that its start costs no more than numpy's.
"""

import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]

BARS = 8
"""A longer piece repeats these; whoever asked for it loops them."""
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 3), (5, 3, 0, 4), (0, 2, 3, 4), (0, 6, 5, 4))
DARK = re.compile(r"\b(sad|dark|slow|minor|melanchol|lonely|rain|night|ghost|tense|winter|cold|mourn|requiem)")
BRIGHT = re.compile(r"\b(happy|bright|joy|glad|sunny|major|spring|upbeat|cheer|danc|garden|child|play)")
QUICK = re.compile(r"\b(fast|quick|upbeat|danc|energ|chas|run|techno|rock|punk|happy)")
CALM = re.compile(r"\b(slow|calm|gentl|ambient|lullaby|soft|peace|quiet|sleep|sad|meditat)")
BELLS = re.compile(r"\b(bell|ding|chime|coin|glass|magic|sparkle|phone|alarm|notif|metal|sword)")
IMPACTS = re.compile(r"\b(door|knock|thunder|explo|boom|hit|crash|drum|step|foot|punch|impact|fall)")
FLOWS = re.compile(r"\b(wind|rain|sea|ocean|wave|river|water|whoosh|storm|fire|breath|swoosh|crowd|applau)")
CALLS = re.compile(r"\b(bird|chirp|laser|siren|cat|dog|owl|whistl|robot|beep|engine|car|insect|cricket)")


def samples(order: Mapping[str, Any]) -> bytes:
    """`order`: kind (music or sound), prompt, seed, length_s, rate (samples a second). At most BARS of music."""
    fate = hashlib.sha256(f"{order['kind']}\0{order['seed']}\0{order['prompt']}".encode()).digest()
    composer = Composer(np.random.default_rng(list(fate)), order["rate"])
    make = composer.piece if order["kind"] == "music" else composer.effect
    sound = make(order["prompt"].lower(), order["length_s"])
    loudest = float(np.max(np.abs(sound), initial=1e-9))
    return (sound * (0.8 * 32_767 / loudest)).astype("<i2").tobytes()


class Composer:
    """Waves of shape (samples, 2); `rate` samples a second."""

    def __init__(self, chance: np.random.Generator, rate: int) -> None:
        self.chance = chance
        self.rate = rate

    def piece(self, prompt: str, length_s: float) -> Wave:
        chance = self.chance
        slowest, quickest = (124, 148) if QUICK.search(prompt) else (60, 80) if CALM.search(prompt) else (84, 120)
        beat_s = 60 / float(chance.integers(slowest, quickest))
        scale = MINOR if DARK.search(prompt) else MAJOR if BRIGHT.search(prompt) else (MAJOR, MINOR)[chance.integers(2)]
        root = 110 * 2 ** (int(chance.integers(12)) / 12)
        chords = PROGRESSIONS[chance.integers(len(PROGRESSIONS))]
        colour, busy, drums = chance.uniform(0.3, 0.9), chance.uniform(0.4, 0.9), not CALM.search(prompt)
        bars = max(1, min(BARS, math.ceil(length_s / (4 * beat_s))))
        mix, degree = np.zeros((round(bars * 4 * beat_s * self.rate), 2)), 7
        for bar in range(bars):
            chord, start_s = chords[bar % len(chords)], bar * 4 * beat_s
            for third in (0, 2, 4):
                pad = self.tone(pitch(root * 2, scale, chord + third), 4 * beat_s, colour / 2, swell=True)
                self.add(mix, start_s, pad * 0.12, pan=0.25 * (third - 2))
            for eighth in range(8):
                at_s = start_s + eighth * beat_s / 2
                if eighth in (0, 3, 6):
                    self.add(mix, at_s, self.tone(pitch(root / 2, scale, chord), beat_s, 0.4) * 0.5)
                if chance.random() < busy:
                    degree = int(np.clip(degree + chance.integers(-2, 3), 3, 14))
                    tune = chord + 7 + 2 * (degree % 3) if eighth % 4 == 0 else degree
                    self.add(mix, at_s, self.tone(pitch(root * 2, scale, tune), 1.5 * beat_s, colour) * 0.35, pan=0.3)
                if drums:
                    self.add(mix, at_s, self.thump(0.2) * 0.6 if eighth % 4 == 0 else self.hiss(0.05) * 0.08, pan=-0.2)
        return mix

    def effect(self, prompt: str, length_s: float) -> Wave:
        known: tuple[tuple[re.Pattern[str], Callable[[float], Wave]], ...] = (
            (BELLS, self.bells), (IMPACTS, self.impacts), (FLOWS, self.flow), (CALLS, self.calls),
        )  # fmt: skip
        named = [make for kind, make in known if kind.search(prompt)]
        chosen = named or [known[self.chance.integers(len(known))][1]]
        mix = np.zeros((round(length_s * self.rate), 2))
        for make in chosen:
            self.add(mix, 0.0, make(length_s), pan=0.0 if len(chosen) == 1 else float(self.chance.uniform(-0.4, 0.4)))
        return mix

    def bells(self, length_s: float) -> Wave:
        """A struck metal body: partials that are no harmonics, the high ones dying first."""
        base, time = self.chance.uniform(300, 1200), self.time(length_s)
        ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.74, 3.76]) * self.chance.uniform(0.97, 1.03, 7)
        partials = [np.sin(2 * np.pi * base * each * time) * np.exp(-time * (1 + 1.5 * each)) / each for each in ratios]
        body: Wave = np.sum(partials, axis=0)
        return body

    def impacts(self, length_s: float) -> Wave:
        """A few blows on something hollow, whose body rings."""
        blow = self.thump(min(1.0, length_s), self.chance.uniform(50, 140))
        blow[: round(0.08 * self.rate)] += self.hiss(0.08)[: len(blow)] * 0.4
        mix, gap_s = np.zeros((round(length_s * self.rate), 2)), self.chance.uniform(0.3, 0.8)
        for number in range(int(length_s / gap_s) + 1):
            self.add(mix, number * gap_s, blow * self.chance.uniform(0.6, 1.0))
        return mix[:, 0]

    def flow(self, length_s: float) -> Wave:
        """Noise that swells like wind or water, over a hollow tone that glides."""
        time = self.time(length_s)
        noise, width = self.chance.standard_normal(len(time)), int(self.chance.integers(8, 60))
        smooth = np.convolve(noise, np.hanning(width) / width, mode="same")
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * self.chance.uniform(0.15, 0.6) * time + self.chance.uniform(0, 6))
        glide = self.chance.uniform(150, 500) * (1 + 0.2 * np.sin(2 * np.pi * self.chance.uniform(0.1, 0.4) * time))
        return swell * (smooth + 0.08 * np.sin(2 * np.pi * np.cumsum(glide) / self.rate)) * fading(len(time))

    def calls(self, length_s: float) -> Wave:
        """A voice of few syllables, each with a sweep of its own, over and over."""
        mix, at_s = np.zeros((round(length_s * self.rate), 2)), 0.0
        base = self.chance.uniform(400, 2200)
        calls = [(self.chance.uniform(0.06, 0.3), self.chance.uniform(0.5, 2.0)) for _ in range(4)]
        while at_s < length_s:
            for syllable_s, sweep in calls:
                time = self.time(syllable_s)
                frequency = base * (1 + (sweep - 1) * time / syllable_s)
                self.add(mix, at_s, np.sin(2 * np.pi * np.cumsum(frequency) / self.rate) * np.hanning(len(time)))
                at_s += syllable_s + 0.03
            at_s += 0.25
        return mix[:, 0]

    def tone(self, frequency: float, seconds: float, colour: float, *, swell: bool = False) -> Wave:
        """Four harmonics, each `colour` as loud as the last; plucked, or swelling and going."""
        time = self.time(seconds)
        wave: Wave = np.sum(
            [colour**number * np.sin(2 * np.pi * frequency * (number + 1) * time) for number in range(4)], axis=0
        )
        return wave * (np.hanning(len(time)) if swell else np.exp(-5 * time / seconds) * fading(len(time)))

    def thump(self, seconds: float, low: float = 55.0) -> Wave:
        time = self.time(seconds)
        return np.sin(2 * np.pi * np.cumsum(low * (1 + 2 * np.exp(-40 * time))) / self.rate) * np.exp(
            -8 * time / seconds
        )

    def hiss(self, seconds: float) -> Wave:
        time = self.time(seconds)
        return self.chance.standard_normal(len(time)) * np.exp(-6 * time / seconds)

    def time(self, seconds: float) -> Wave:
        return np.arange(max(2, round(seconds * self.rate))) / self.rate

    def add(self, mix: Wave, at_s: float, sound: Wave, *, pan: float = 0.0) -> None:
        """`pan` from -1 (left) to 1. What passes the end is cut."""
        start = round(at_s * self.rate)
        part = sound[: max(0, len(mix) - start)]
        sides = part if part.ndim == mix.ndim else part[:, None] * np.array([1 - pan, 1 + pan])
        mix[start : start + len(part)] += sides


def pitch(root: float, scale: tuple[int, ...], degree: int) -> float:
    """Hertz of the `degree`th note of the scale on `root`, counted from 0 and on into higher octaves."""
    octave, step = divmod(degree, len(scale))
    return root * 2 ** (octave + scale[step] / 12)


def fading(count: int) -> Wave:
    """1 all along, but for a short way up and down, so that nothing clicks."""
    edge = min(count // 2, 400)
    shape = np.ones(count)
    shape[:edge] = np.linspace(0, 1, edge)
    shape[count - edge :] = np.linspace(1, 0, edge)
    return shape


if __name__ == "__main__":
    sys.stdout.buffer.write(samples(json.load(sys.stdin.buffer)))
