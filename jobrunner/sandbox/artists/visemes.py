"""What a mouth looks like while each sound is said: phonemes in IPA, as `voice` times them, become mouth shapes.

The classes are those of animators' mouth charts (Preston Blair's): lips closed, lip on teeth, rounded, spread, wide
open, and the small opening of all that is said further back.
"""

import bisect
from collections.abc import Sequence
from typing import Final, NamedTuple

from jobrunner.sandbox.artists.voice import Moment


class Shape(NamedTuple):
    """`opening` 0 (closed) to 1 (wide open), `width` 0 (pursed) to 1 (spread)."""

    opening: float
    width: float


CLOSED: Final = Shape(0.0, 0.5)
_SMALL: Final = Shape(0.3, 0.6)
"""Any sound that is not listed."""
_SHAPES: Final[dict[str, Shape]] = {
    **dict.fromkeys("pbm", CLOSED),
    **dict.fromkeys("fvɱ", Shape(0.12, 0.6)),
    **dict.fromkeys("θðtdnlszɾ", Shape(0.22, 0.7)),
    **dict.fromkeys("ʃʒ", Shape(0.28, 0.2)),
    **dict.fromkeys("kɡgŋhxçjʔ", Shape(0.35, 0.6)),  # noqa: RUF001  # IPA
    **dict.fromkeys("rɹʁ", Shape(0.3, 0.3)),
    **dict.fromkeys("uʊwyʏ", Shape(0.35, 0.05)),  # noqa: RUF001  # IPA
    **dict.fromkeys("oɔɒøœ", Shape(0.7, 0.2)),
    **dict.fromkeys("aɑæʌɐ", Shape(1.0, 0.75)),  # noqa: RUF001  # IPA
    **dict.fromkeys("eɛ", Shape(0.65, 0.9)),
    **dict.fromkeys("iɪɨ", Shape(0.4, 1.0)),  # noqa: RUF001  # IPA
    **dict.fromkeys("əɜɚɝ", Shape(0.5, 0.55)),
}
_STRESS: Final = "ˈˌ"


def shape_of(phoneme: str) -> Shape:
    """A long sound or a diphthong looks like its beginning; nothing is said by a closed mouth."""
    sound = phoneme.lstrip(_STRESS)
    return _SHAPES.get(sound[0], _SMALL) if sound else CLOSED


def spoken(phonemes: Sequence[Moment], frames: int, fps: int) -> list[Shape]:
    """The mouth in the middle of each of `frames` frames; closed before the first sound."""
    starts = [moment.start_s for moment in phonemes]
    shapes = [CLOSED, *(shape_of(moment.said) for moment in phonemes)]
    return [shapes[bisect.bisect_right(starts, (frame + 0.5) / fps)] for frame in range(frames)]
