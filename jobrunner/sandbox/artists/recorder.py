"""Makes sound files: speech, music and effects, encoded as asked. The same order gives the same bytes.

All the work is done by child processes, as many at a time as there are processors: eSpeak NG speaks, numpy
composes, ffmpeg (the static build in imageio-ffmpeg's wheel, GPL, hence only ever a subprocess) encodes.
"""

import asyncio
import io
import json
import os
import sys
import wave
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from jobrunner.sandbox.artists import child, voice

KEPT_FILES: Final = 64
KEPT_BYTES: Final = 4 * 1024 * 1024
"""A larger file is not kept: it would cost memory for a repetition that is rare."""
FADE_S: Final = 1.5
_CODECS: Final = {
    "mp3": ("-f", "mp3", "-c:a", "libmp3lame"),
    "opus": ("-f", "ogg", "-c:a", "libopus"),
    "aac": ("-f", "adts", "-c:a", "aac"),
    "flac": ("-f", "flac", "-c:a", "flac"),
    "wav": ("-f", "s16le", "-c:a", "pcm_s16le"),
    "pcm": ("-f", "s16le", "-c:a", "pcm_s16le"),
}
_MUSIC: Final = str(Path(__file__).with_name("music.py"))
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy would start a pool for nothing."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is encoded. `codec`: mp3, opus (in Ogg), wav, pcm (16-bit samples, no header), or aac or flac.

    The last two are streams whose headers name no length: a player does not mind, a prober finds 0 seconds.
    """

    codec: str = "mp3"
    rate: int = 44_100
    kbps: int = 128

    @property
    def mime(self) -> str:
        return {"mp3": "audio/mpeg", "opus": "audio/ogg"}.get(self.codec, f"audio/{self.codec}")


@dataclass(frozen=True, slots=True)
class _Sound:
    """Samples, 16-bit little-endian; made longer or shorter to `length_s` by repeating and fading, if it is set.

    `phonemes`: what is said when, where somebody speaks.
    """

    samples: bytes
    rate: int
    channels: int
    length_s: float | None = None
    phonemes: tuple[voice.Moment, ...] = ()


class Recorder:
    """Records on demand. Equal orders are made once, also when they come at the same time; the last few are kept.

    `note` is told of each file in which somebody speaks, and what is said when.
    """

    def __init__(self, note: Callable[[bytes, Sequence[voice.Moment]], None] = lambda _file, _phonemes: None) -> None:
        self._note = note
        self._booths = asyncio.Semaphore(os.cpu_count() or 1)
        self._files: OrderedDict[tuple[Any, ...], asyncio.Task[bytes]] = OrderedDict()

    async def spoken(
        self,
        text: str,
        voice_id: str,
        *,
        speed: float = 1.0,
        language: str = "en",
        format: Format = Format(),
    ) -> bytes:
        """A sound file of `text`, in the voice that belongs to `voice_id`; see `voice.speak`."""

        async def take() -> _Sound:
            speech = await voice.speak(text, voice_id, speed=speed, language=language)
            return _Sound(speech.samples, speech.rate, voice.CHANNELS, phonemes=speech.phonemes)

        return await self._file((text, voice_id, speed, language, format), take, format)

    async def composed(
        self,
        kind: Literal["music", "sound"],
        prompt: str,
        *,
        length_s: float,
        seed: int = 0,
        format: Format = Format(),
    ) -> bytes:
        """A sound file of a piece of music or an effect that belongs to the prompt and the seed."""
        order = {"kind": kind, "prompt": prompt, "seed": seed, "length_s": length_s, "rate": format.rate}

        async def take() -> _Sound:
            samples = await child.run([sys.executable, "-I", _MUSIC], json.dumps(order).encode(), environ=_ONE_THREAD)
            return _Sound(samples, format.rate, 2, length_s)

        return await self._file((*order.values(), format), take, format)

    async def aclose(self) -> None:
        tasks = list(self._files.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _file(
        self, order: tuple[Any, ...], take: Callable[[], Coroutine[Any, Any, _Sound]], format: Format
    ) -> bytes:
        task = self._files.get(order)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._files[order] = asyncio.create_task(self._recorded(take, format))
            while len(self._files) > KEPT_FILES:
                self._files.popitem(last=False)
        file = await asyncio.shield(task)
        if len(file) > KEPT_BYTES:
            self._files.pop(order, None)
        return file

    async def _recorded(self, take: Callable[[], Coroutine[Any, Any, _Sound]], format: Format) -> bytes:
        async with self._booths:
            sound = await take()
            file = await _encoded(sound, format)
        if sound.phonemes:
            self._note(file, sound.phonemes)
        return file


async def _encoded(take: _Sound, format: Format) -> bytes:
    from imageio_ffmpeg import get_ffmpeg_exe  # noqa: PLC0415  # the [local] extra's

    command = [
        get_ffmpeg_exe(), "-nostdin", "-v", "error", "-threads", "1",
        "-f", "s16le", "-ar", str(take.rate), "-ac", str(take.channels), "-i", "pipe:0", *_lengthened(take),
        "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact",
        *_CODECS[format.codec], "-ar", str(format.rate), "-b:a", f"{format.kbps}k", "pipe:1",
    ]  # fmt: skip
    sound = await child.run(command, take.samples)
    return _wav(sound, format.rate, take.channels) if format.codec == "wav" else sound


def _lengthened(take: _Sound) -> list[str]:
    """Over and over, up to the length that was asked for, and out."""
    if take.length_s is None:
        return []
    fade_s = min(FADE_S, take.length_s / 4)
    frames = len(take.samples) // (2 * take.channels)
    fade = f"afade=t=out:st={take.length_s - fade_s:.3f}:d={fade_s:.3f}"
    return ["-af", f"aloop=loop=-1:size={frames},atrim=end={take.length_s:.3f},{fade}"]


def _wav(samples: bytes, rate: int, channels: int) -> bytes:
    """With a header that knows the length: ffmpeg cannot go back to fill one in on a pipe."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples)
    return file.getvalue()
