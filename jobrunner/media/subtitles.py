"""Subtitles as WebVTT, whose escapes keep any text what it is: SRT has none, and would read markup out of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_ROUND = str.maketrans("{}", "()")


@dataclass(frozen=True, slots=True)
class Cue:
    """`text` is shown from `start_s` to `end_s`, in seconds of the video."""

    start_s: float
    end_s: float
    text: str


def webvtt(cues: Sequence[Cue]) -> str:
    """The file's text: cues in order, each ending at the latest where the next begins. Source: W3C WebVTT."""
    ordered = sorted(cues, key=lambda cue: (cue.start_s, cue.end_s))
    ends = [min(cue.end_s, after.start_s) for cue, after in pairwise(ordered)]
    ends += [cue.end_s for cue in ordered[-1:]]
    blocks = [
        f"{_clock(cue.start_s)} --> {_clock(end_s)}\n{_escaped(cue.text)}\n"
        for cue, end_s in zip(ordered, ends, strict=True)
        if _clock(cue.start_s) < _clock(end_s)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def _escaped(text: str) -> str:
    """A blank line would end the cue, and `-->` begin another.

    Braces become round: ffmpeg reads ASS styling out of them on the way to any other format, and has no escape.
    """
    lines = [" ".join(line.split()) for line in text.splitlines()]
    kept = "\n".join(line for line in lines if line).translate(_ROUND)
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
