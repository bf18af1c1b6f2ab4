"""The sandbox's sounds: made offline by child processes, the same for the same order, and to be told apart."""

import asyncio
import io
import os
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from jobrunner.media import sniff
from jobrunner.media.examining import media_info
from jobrunner.sandbox.artists import child, voice
from jobrunner.sandbox.artists.recorder import Format, Recorder

WAV = Format("wav", 22_050)


def samples(file: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    with wave.open(io.BytesIO(file)) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2")


async def test_words_and_sounds_are_heard_at_their_times() -> None:
    speech = await voice.speak("Hello there, Giant!", "narrator")
    assert [moment.said for moment in speech.words] == ["Hello", "there", "Giant"]
    times = [moment.start_s for moment in speech.phonemes]
    assert times == sorted(times)
    assert len(times) > len(speech.words)
    assert speech.words[-1].start_s < speech.duration_s


async def test_each_voice_speaks_in_its_own_way_and_always_the_same() -> None:
    first, again, other = [await voice.speak("Hello there.", name) for name in ("narrator", "narrator", "giant")]
    assert first == again
    assert first.samples != other.samples


async def test_quick_speech_is_shorter_and_other_languages_sound_otherwise() -> None:
    normal = await voice.speak("Guten Tag, liebe Welt.", "narrator")
    assert (await voice.speak("Guten Tag, liebe Welt.", "narrator", speed=1.5)).duration_s < normal.duration_s
    german = await voice.speak("Guten Tag, liebe Welt.", "narrator", language="de")
    assert german.phonemes != normal.phonemes


async def test_an_unknown_language_is_read_as_english() -> None:
    english = await voice.speak("Hello.", "narrator")
    assert await voice.speak("Hello.", "narrator", language="xx") == english


@pytest.mark.parametrize(
    ("format", "mime"),
    [(Format(), "audio/mpeg"), (Format("opus", 48_000, 64), "audio/ogg"), (WAV, "audio/wav")],
)
async def test_a_file_is_in_the_format_that_was_asked_for(tmp_path: Path, format: Format, mime: str) -> None:
    recorder = Recorder()
    (tmp_path / "file").write_bytes(await recorder.spoken("Hello there.", "narrator", format=format))
    info = media_info(tmp_path / "file")
    assert (info.mime, format.mime) == (mime, mime)
    assert info.duration_s == pytest.approx(1.4, abs=0.5)


@pytest.mark.parametrize("codec", ["aac", "flac"])
async def test_a_stream_without_a_length_is_still_of_its_type(codec: str) -> None:
    format = Format(codec, 24_000)
    assert sniff((await Recorder().spoken("Hello there.", "narrator", format=format))[:16]) == format.mime


async def test_the_same_prompt_is_the_same_piece_and_another_prompt_another() -> None:
    first, again, other, seeded = [
        await Recorder().composed("music", prompt, length_s=3.0, seed=seed, format=WAV)
        for prompt, seed in (("a calm harp", 0), ("a calm harp", 0), ("a wild chase", 0), ("a calm harp", 1))
    ]
    assert first == again
    assert len({first, other, seeded}) == 3


async def test_music_has_notes_and_is_no_noise() -> None:
    piece = samples(await Recorder().composed("music", "a bright dance", length_s=3.0, format=WAV))
    power = np.abs(np.fft.rfft(piece.astype(float))) ** 2 + 1e-9
    flatness = float(np.exp(np.mean(np.log(power))) / np.mean(power))
    assert flatness < 0.01, "white noise has 0.56"
    assert np.abs(piece).max() > 10_000


@pytest.mark.parametrize("length_s", [0.5, 3.0, 60.0])
async def test_music_lasts_as_long_as_was_asked_and_ends_softly(length_s: float) -> None:
    piece = samples(await Recorder().composed("music", "a march", length_s=length_s, format=WAV))
    assert len(piece) / 2 / WAV.rate == pytest.approx(length_s, abs=0.01)
    assert np.abs(piece[-20:]).max() < 1_000


async def test_equal_orders_at_the_same_time_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, run = [], child.run

    async def counted(*args: object, **kwargs: object) -> bytes:
        runs.append(args)
        return await run(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(child, "run", counted)
    recorder = Recorder()
    files = await asyncio.gather(*(recorder.spoken("Hello.", "narrator") for _ in range(5)))
    assert len(set(files)) == 1
    assert len(runs) == 2, "one speaks, one encodes"


@pytest.fixture
def lifeline(tmp_path: Path) -> Path:
    """A named pipe: who reads it hears when a `waiting` program has started, and that it ended, however it did."""
    os.mkfifo(tmp_path / "lifeline")
    return tmp_path / "lifeline"


def waiting(lifeline: Path) -> list[str]:
    script = f"file = open({str(lifeline)!r}, 'wb', 0); file.write(b'!'); __import__('time').sleep(60)"
    return [sys.executable, "-I", "-c", script]


async def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(RuntimeError, match="did not end within"):
        await child.run([sys.executable, "-I", "-c", "__import__('time').sleep(60)"], b"", timeout_s=0.05)


async def test_a_caller_that_gives_up_ends_its_program(lifeline: Path) -> None:
    running = asyncio.create_task(child.run(waiting(lifeline), b""))
    with await asyncio.to_thread(lifeline.open, "rb", 0) as file:
        assert await asyncio.to_thread(file.read, 1) == b"!"
        running.cancel()
        assert await asyncio.wait_for(asyncio.to_thread(file.read, 1), 10) == b""
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_program_ends_with_a_sandbox_that_was_killed(lifeline: Path) -> None:
    program = f"asyncio.run(child.run({waiting(lifeline)!r}, b''))"
    script = f"import asyncio; from jobrunner.sandbox.artists import child; {program}"
    sandbox = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    with await asyncio.to_thread(lifeline.open, "rb", 0) as file:
        assert await asyncio.to_thread(file.read, 1) == b"!"
        sandbox.kill()
        assert await asyncio.wait_for(asyncio.to_thread(file.read, 1), 10) == b""
    await sandbox.wait()


async def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: no voice today"):
        await child.run(
            [sys.executable, "-I", "-c", "import sys; sys.stderr.write('no voice today'); sys.exit(3)"], b""
        )
