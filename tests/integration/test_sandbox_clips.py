"""Clips that the sandbox films: real, moving, the same each time; and its program never outlives its order."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from jobrunner.media.examining import media_info
from jobrunner.sandbox.artists import artist, child, clips
from jobrunner.sandbox.artists.clips import Clips, Shot
from jobrunner.sandbox.artists.studio import Studio

SHOT = Shot("a cat by the sea", seed=7, size=(160, 90), duration_s=1.5)


@pytest.fixture
async def camera(tmp_path: Path) -> AsyncIterator[Clips]:
    studio = Studio()
    camera = Clips(tmp_path / "clips", studio)
    yield camera
    await camera.aclose()
    await studio.aclose()


def frames(film: Path) -> list[str]:
    """The hash of each decoded picture."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", film, "-map", "0:v", "-f", "framemd5", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.rpartition(",")[2] for line in said.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("size", [(160, 90), (91, 161)])
async def test_a_clip_is_what_was_asked_for_and_moves(
    camera: Clips, tmp_path: Path, size: tuple[int, int], *, sound: bool
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(await camera.clip(replace(SHOT, size=size, sound=sound)))
    info = media_info(film)
    assert (info.mime, info.width, info.height) == ("video/mp4", size[0] // 2 * 2, size[1] // 2 * 2)
    assert info.has_audio == sound
    assert info.duration_s == pytest.approx(1.5, abs=0.05)
    pictures = frames(film)
    assert len(pictures) == 18
    assert len({*pictures}) > 9


async def test_the_same_order_gives_the_same_bytes_and_another_does_not(camera: Clips, tmp_path: Path) -> None:
    first = await camera.clip(SHOT)
    shutil.rmtree(tmp_path / "clips")
    assert await camera.clip(SHOT) == first
    frame = artist.draw("a hill", 1, 64, 64)
    others = [await camera.clip(replace(SHOT, seed=8)), await camera.clip(SHOT, frame)]
    assert len({first, *others}) == 3


async def test_equal_orders_are_filmed_once_and_found_again_after_a_restart(
    camera: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed = 0

    async def counted(*order: Any) -> bytes:
        nonlocal filmed
        filmed += 1
        return await child.run(*order)

    monkeypatch.setattr(clips, "run", counted)
    assert len({*await asyncio.gather(*(camera.clip(SHOT) for _ in range(4)))}) == 1
    await Clips(tmp_path / "clips", Studio()).clip(SHOT)
    assert filmed == 1


async def test_only_pictures_are_filmed(camera: Clips, tmp_path: Path) -> None:
    for no_picture in (b"#EXTM3U\nfile:///etc/passwd", b"ffconcat version 1.0"):
        with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
            await camera.clip(SHOT, no_picture)
    with pytest.raises(RuntimeError, match="ended with"):
        await camera.clip(SHOT, b"\x89PNG and no more")
    assert list((tmp_path / "clips").iterdir()) == []


async def test_closing_ends_what_is_being_filmed(
    camera: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def noted(*order: Any) -> bytes:
        begun.set()
        return await child.run(*order)

    monkeypatch.setattr(clips, "run", noted)
    order = asyncio.create_task(camera.clip(replace(SHOT, size=(1280, 720), duration_s=60.0)))
    await begun.wait()
    await camera.aclose()
    with pytest.raises(asyncio.CancelledError):
        await order
    assert list((tmp_path / "clips").iterdir()) == []


async def test_what_nobody_waits_for_any_more_is_not_drawn() -> None:
    studio = Studio()
    first, shared, left, stays = (
        asyncio.create_task(studio.picture(text, seed=1, size=(512, 512), format="png"))
        for text in ("first", "shared", "left", "shared")
    )
    await asyncio.sleep(0)
    shared.cancel()
    left.cancel()
    assert await stays != await first
    drawn = {order[0]: task for order, task in studio._pictures.items()}
    assert drawn["left"].cancelled()
    assert drawn["shared"].result() == await stays
    await studio.aclose()
