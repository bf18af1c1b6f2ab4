"""A program: gives the faces of a clip mouths that move with a sound. One JSON order on stdin; the MP4 goes to a file.

`figures` draws faces with eyes and no mouth, so there is nothing to paint over. In a clip without such a face a plain
mouth moves in the lower third. Run it as `python -m jobrunner.sandbox.artists.mouths`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import IO, Any, Final, cast

import numpy as np

from jobrunner.sandbox.artists.faces import MOUTH_AT, Face, Picture, Watch
from jobrunner.sandbox.artists.visemes import CLOSED, Shape

Colour = tuple[float, float, float]
"""Y, Cb and Cr."""
LIPS: Final[Colour] = (96.0, 112.0, 166.0)
INSIDE: Final[Colour] = (34.0, 124.0, 142.0)
PLAIN_AT: Final = (0.5, 0.8)
"""Where a mouth without a face is, in widths and heights of the picture."""
PLAIN_RADIUS: Final = 0.13
"""The radius, in heights of the picture, of the head that it would belong to."""
RATE: Final = 16_000
PAUSE: Final = 0.06
"""What is quieter than this part of the loud passages is no sound."""
CHUNK: Final = 48
"""Frames that are held at once to be played backwards."""


def speak(picture: Picture, faces: Sequence[Face], shape: Shape) -> None:
    height, width = picture.y.shape
    places = [(face.x + MOUTH_AT[0] * face.radius, face.y + MOUTH_AT[1] * face.radius, face.radius) for face in faces]
    for x, y, radius in places or [(PLAIN_AT[0] * width, PLAIN_AT[1] * height, PLAIN_RADIUS * height)]:
        wide, high = radius * (0.17 + 0.15 * shape.width), radius * (0.035 + 0.22 * shape.opening)
        paint(picture, (x, y), (wide, high), LIPS)
        if shape.opening:
            lip = 0.05 * radius
            paint(picture, (x, y), (wide - lip, high - lip), INSIDE)


def paint(picture: Picture, at: tuple[float, float], half: tuple[float, float], colour: Colour) -> None:
    """An ellipse around `at`, half as wide and as high as `half` in pixels, with soft edges."""
    for plane, part, scale in zip((picture.y, picture.cb, picture.cr), colour, (1, 2, 2), strict=True):
        wide, high = (max(each / scale, 0.5) for each in half)
        x, y = ((each + 0.5) / scale - 0.5 for each in at)
        top, left = max(0, int(y - high) - 1), max(0, int(x - wide) - 1)
        area = plane[top : max(0, int(y + high) + 3), left : max(0, int(x + wide) + 3)]
        rows, columns = np.ogrid[top : top + area.shape[0], left : left + area.shape[1]]
        away = np.hypot((columns - x) / wide, (rows - y) / high)
        area[:] = np.rint(area + (part - area) * np.clip((1 - away) * min(wide, high) + 0.5, 0, 1))


def loudness(order: Mapping[str, Any]) -> list[Shape]:
    """Mouths for a sound of which nothing else is known: open where it is loud, closed in its pauses."""
    command = [order["ffmpeg"], "-nostdin", "-v", "error", *order["sound"], "-vn", "-ac", "1", "-ar", str(RATE)]
    made = subprocess.run([*command, "-f", "s16le", "pipe:1"], check=True, capture_output=True)  # noqa: S603
    wave = np.frombuffer(made.stdout, "<i2").astype(np.float32)
    size = RATE // order["fps"]
    levels = np.sqrt(np.mean(np.pad(wave, (0, -len(wave) % size)).reshape(-1, size) ** 2, axis=1))
    loud = max(float(np.percentile(levels, 95)), 200.0) if len(levels) else 1.0
    return [Shape(min(level / loud, 1.0) ** 0.7 if level > PAUSE * loud else 0.0, 0.6) for level in levels.tolist()]


def frames(order: Mapping[str, Any], first: int = 0, count: int | None = None) -> Iterator[bytes]:
    """The clip's frames as raw planes, at the order's size, speed and rate."""
    shown = f"setpts=PTS*{order['stretch']:.6f},fps={order['fps']},scale={order['width']}:{order['height']}"
    part = [] if count is None else [f"trim=start_frame={first}:end_frame={first + count}"]
    filters = ",".join([shown, "format=yuv420p", *part])
    command = [order["ffmpeg"], "-nostdin", "-v", "error", "-threads", "1", *order["video"], "-an", "-vf", filters]
    size = order["width"] * order["height"] * 3 // 2
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as decoder:  # noqa: S603
        try:
            while decoder.stdout and len(frame := decoder.stdout.read(size)) == size:
                yield frame
        finally:
            decoder.kill()


def played(order: Mapping[str, Any]) -> Iterator[bytes]:
    """The clip's frames in the order in which they are shown; without end, and none for a clip without a frame."""
    length, last = 0, b""
    for frame in frames(order):
        length, last = length + 1, frame
        yield frame
    while length and order["again"] == "loop":
        yield from frames(order)
    while length and order["again"] == "bounce":
        for start in range((length - 1) // CHUNK * CHUNK, -1, -CHUNK):
            yield from reversed(list(frames(order, start, CHUNK)))
        yield from frames(order)
    yield from repeat(last) if length else ()


def show(order: Mapping[str, Any]) -> None:
    """Writes the clip. Raises SystemExit, with a reason, for one that has no frame or that ffmpeg cannot write."""
    size = order["width"], order["height"]
    command = [
        order["ffmpeg"], "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p",
        "-s", f"{size[0]}x{size[1]}", "-r", str(order["fps"]), "-i", "pipe:0", *order["sound"],
        "-map", "0:v", "-map", "1:a:0", "-af", "apad", "-t", f"{order['frames'] / order['fps']:.6f}",
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1", "-c:a", "aac", "-b:a", "96k",
        "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-movflags", "+faststart",
        "-f", "mp4", order["into"],
    ]  # fmt: skip
    known = [Shape(*shape) for shape in order["shapes"]]
    shapes = chain(known or loudness(order), repeat(CLOSED))
    watch, faces, last = Watch(order["fps"]), list[Face](), b""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:  # noqa: S603
        into = cast("IO[bytes]", encoder.stdin)
        for raw, shape in zip(islice(played(order), order["frames"]), shapes, strict=False):
            picture = Picture(raw, *size)
            faces = faces if raw == last else watch.faces(picture)
            speak(picture, faces, shape)
            into.write(picture.data.data)
            last = raw
    if not last:
        raise SystemExit("the clip has no frame")
    if encoder.returncode:
        raise SystemExit(f"ffmpeg ended with {encoder.returncode}")


if __name__ == "__main__":
    show(json.load(sys.stdin))
