"""The cutting table: how long each shot has to be, where in the film each speech lies, and what is read meanwhile.

Pure. All lengths are in seconds.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

FADE_S = 0.6
"""How long one scene fades into the next; nobody speaks meanwhile."""

_PAUSE_S = 0.3  # after the fade, before the narrator begins, and before the next fade
_CLIP_S = (3, 10)  # whole seconds: what most video models make in one piece
_WORDS, _CHARS = 22, 160  # what a narrator speaks in the longest clip, with all its pauses
_CUE_CHARS = 84  # two lines of 42: what can be read in time


@dataclass(frozen=True, slots=True)
class Speech:
    """A text that was spoken: the sound is the artifact `sound`. `speaker`: whose line it is; the narrator has none."""

    text: str
    sound: str
    length_s: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Shot:
    """A clip, the artifact `clip`, in which `speech` begins at `speech_s`."""

    clip: str
    length_s: float
    speech: Speech
    speech_s: float = 0.0


Scene = Sequence[Shot]
"""Shots with a cut between each and the next."""


@dataclass(frozen=True, slots=True)
class Cue:
    start_s: float
    end_s: float
    text: str


NARRATION_S = FADE_S + _PAUSE_S
"""Where in its shot a narration begins."""


def narrated_s(speech: Speech) -> int:
    """How long the shot of a scene is that is narrated with `speech`."""
    return _clip_s(NARRATION_S + speech.length_s + _PAUSE_S + FADE_S)


def said_s(speech: Speech) -> int:
    """How long the close-up of somebody who says `speech` is; a fade may follow."""
    return _clip_s(speech.length_s + _PAUSE_S + FADE_S)


def film_s(scenes: Sequence[Sequence[float]]) -> float:
    """How long the film is whose scenes have shots of these lengths."""
    return sum(map(sum, scenes)) - FADE_S * (len(scenes) - 1)


def placed(scenes: Sequence[Scene]) -> list[tuple[float, Speech]]:
    """Every speech with where it begins in the film, in order."""
    placed, at_s = list[tuple[float, Speech]](), 0.0
    for scene in scenes:
        for shot in scene:
            placed.append((at_s + shot.speech_s, shot.speech))
            at_s += shot.length_s
        at_s -= FADE_S
    return placed


def cues(speeches: Sequence[tuple[float, Speech]]) -> list[Cue]:
    """What is to be read: a speech in pieces that fit on the screen, each as long as its share of the letters."""
    return [cue for begin, speech in speeches for cue in _pieces(begin, speech)]


def speakable(text: str) -> str:
    """The sentences, or else the words, of `text` that fit into one shot."""
    if _fits(text):
        return text
    sentences = re.findall(r"\S.*?(?:[.!?…][\"'”’)]*(?=\s|$)|$)", text)  # noqa: RUF001  # printed quotes
    openings = list(accumulate(sentences, lambda before, sentence: f"{before} {sentence}"))
    cut = " ".join(text.split()[:_WORDS])[:_CHARS].rstrip(",;:- ") + "…"
    return next(filter(_fits, reversed(openings)), cut)


def _fits(text: str) -> bool:
    return len(text.split()) <= _WORDS and len(text) <= _CHARS


def _clip_s(needed_s: float) -> int:
    least, most = _CLIP_S
    return max(least, min(most, math.ceil(needed_s)))


def _pieces(begin: float, speech: Speech) -> Iterator[Cue]:
    words = speech.text.split()
    parts = min(len(words), math.ceil(len(speech.text) / _CUE_CHARS))
    ends = [round(len(words) * part / parts) for part in range(parts + 1)]
    texts = [" ".join(words[start:end]) for start, end in pairwise(ends)]
    times = list(accumulate((len(text) for text in texts), initial=0))
    pace_s = speech.length_s / times[-1]
    for text, (start, end) in zip(texts, pairwise(times), strict=True):
        cue = Cue(begin + start * pace_s, begin + end * pace_s, text)
        yield cue if speech.speaker is None else replace(cue, text=f"{speech.speaker}: {text}")
