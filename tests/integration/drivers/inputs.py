"""Small real files for requests to start from."""

import functools
import io
import struct
import subprocess
import wave
from uuid import NAMESPACE_OID, UUID, uuid5

from imageio_ffmpeg import get_ffmpeg_exe

from jobrunner.sandbox.artists import artist
from jobrunner.work import Artifact

PICTURE = Artifact(UUID(int=1), None, "image", "image/png", 10_000, "00", "picture.png", 64, 64)
CLIP = Artifact(UUID(int=2), None, "video", "video/mp4", 10_000, "00", "clip.mp4", 64, 64, 0.5)


def sound(title: str) -> Artifact:
    """Half a second of silence under that title, which `content` writes into its tags."""
    id = uuid5(NAMESPACE_OID, title)
    return Artifact(id, None, "audio", "audio/wav", 10_000, "00", f"{title}.wav", duration_s=0.5)


def content(artifact: Artifact) -> bytes:
    match artifact.kind:
        case "image":
            return artist.draw("a hill", 1, 64, 64)
        case "video":
            return clip()
        case "audio":
            return titled(artifact.key.removesuffix(".wav"))


@functools.cache
def clip() -> bytes:
    command = [get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=12:duration=0.5"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    command += ["-f", "mp4", "-movflags", "frag_keyframe+empty_moov", "pipe:1"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def titled(title: str) -> bytes:
    """A WAV file whose tags (a LIST chunk of kind INFO) say its title."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(8000))
    name = title.encode() + b"\0" * (2 - len(title.encode()) % 2)
    tags = b"INFOINAM" + struct.pack("<I", len(name)) + name
    whole = file.getvalue() + b"LIST" + struct.pack("<I", len(tags)) + tags
    return b"RIFF" + struct.pack("<I", len(whole) - 8) + whole[8:]
