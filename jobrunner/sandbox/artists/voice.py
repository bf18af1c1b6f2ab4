"""Speech from text, offline: eSpeak NG in a child process of its own (see `espeak`), and when each sound is said.

A provider that answers an audio file asks `Recorder.spoken`, which limits, encodes and keeps; `speak` is for who
needs the bare samples, or the times of words and sounds (mouths to move).
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobrunner.sandbox.artists import child

CHANNELS: Final = 1
_PROGRAM: Final = str(Path(__file__).with_name("espeak.py"))
_VARIANTS: Final = ("m1", "m2", "m3", "m4", "m7", "f1", "f2", "f3", "f4", "f5", "Andy", "Annie", "Gene", "linda")
_LANGUAGES: Final = {"zh": "cmn", "no": "nb"}
"""ISO 639-1 codes that eSpeak NG calls otherwise."""


@dataclass(frozen=True, slots=True)
class Moment:
    """From `start_s` on, `said` is heard: a word of the text, or a phoneme in IPA; an empty one is a pause."""

    start_s: float
    said: str


@dataclass(frozen=True, slots=True)
class Speech:
    """`samples` are 16-bit little-endian, one channel, `rate` a second."""

    samples: bytes
    rate: int
    words: tuple[Moment, ...]
    phonemes: tuple[Moment, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / 2 / self.rate


async def speak(text: str, voice: str, *, speed: float = 1.0, language: str = "en") -> Speech:
    """`text` in a voice that belongs to the name or id `voice`, always the same for the same one.

    `speed` 1.0 is normal; `language` is ISO 639-1, and one that is not known is read as English. The same arguments
    give the same samples. Some 40 ms of a processor, and 1 ms more for each second that is heard.
    Raises RuntimeError if eSpeak NG fails, ModuleNotFoundError without the [local] extra.
    """
    import espeakng_loader  # noqa: PLC0415  # tells where the library lies; only the child loads it

    fate = hashlib.sha256(voice.encode()).digest()
    order = {
        "library": espeakng_loader.get_library_path(),
        "data": espeakng_loader.get_data_path(),
        "text": text.replace("\0", " "),
        "language": _LANGUAGES.get(language, language),
        "variant": _VARIANTS[fate[0] % len(_VARIANTS)],
        "pitch": 36 + fate[1] % 30,
        "speed": speed,
    }
    answer = await child.run([sys.executable, "-I", _PROGRAM], json.dumps(order).encode())
    line, _, samples = answer.partition(b"\n")
    heard = json.loads(line)
    words = tuple(Moment(at_ms / 1000, text[start : start + length]) for at_ms, start, length in heard["words"])
    phonemes = tuple(Moment(at_ms / 1000, name) for at_ms, name in heard["phonemes"])
    return Speech(samples, heard["rate"], words, phonemes)
