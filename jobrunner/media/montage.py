"""What to ask of ffmpeg to join, mix and subtitle: argument lists and filter graphs. Pure.

Inputs are named by us and filters get nothing but numbers, so no text of a user's is ever read as a filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from jobrunner.media.ffmpeg import Input
from jobrunner.media.probe import MediaInfo

SAMPLE_RATE = 48_000
MAX_FPS = 60
_NTSC = Fraction(1000, 1001)
_ROUNDING = 0.0006  # of three decimals

_SOUND = f"aresample={SAMPLE_RATE}:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo"
"""One shape for all sound; gaps and a late start become silence."""

_SILENCE = f"anullsrc=r={SAMPLE_RATE}:cl=stereo,aformat=sample_fmts=fltp"
_DUCKED = "sidechaincompress=threshold=0.03:ratio=8:attack=20:release=400"
_LIMITED = "alimiter=limit=0.95:level=0"
_H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p")
_AAC = ("-c:a", "aac", "-b:a", "192k", "-ar", str(SAMPLE_RATE), "-ac", "2")
_MP4 = ("-map_metadata", "-1", "-map_chapters", "-1", "-movflags", "+faststart", "-f", "mp4")


@dataclass(frozen=True, slots=True)
class Look:
    """What all clips of a video are brought to. `size` in pixels; loudness as EBU R 128 has it.

    A joint (0 lies between the first two clips) is a crossfade of `fade_s`, or a cut if that is 0 or it is in `cuts`.
    """

    size: tuple[int, int]
    fps: Fraction
    fade_s: float = 0.0
    cuts: frozenset[int] = frozenset()
    loudness_lufs: float | None = None

    def faded_s(self, joint: int) -> float:
        """How long the clips at a joint are seen together."""
        return 0.0 if joint in self.cuts else self.fade_s


@dataclass(frozen=True, slots=True)
class Track:
    """Sound that begins `start_s` into the video. `duck`: it is lowered while other sound plays."""

    start_s: float = 0.0
    gain_db: float = 0.0
    duck: bool = False


def frame_rate(fps: float) -> Fraction:
    """The rate that a file's decimal stands for: 23.976 is 24000/1001. At most MAX_FPS."""
    ntsc = round(fps * 1.001) * _NTSC
    return min(ntsc if abs(fps - ntsc) < _ROUNDING else Fraction(round(fps * 1000), 1000), Fraction(MAX_FPS))


def even(size: tuple[int, int]) -> tuple[int, int]:
    """H.264 in its common form has even sides."""
    return max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)


def blink() -> list[str]:
    """A fifth of a second that ffmpeg makes by itself, in the codecs of all that is rendered: to see that it can."""
    picture, sound = "testsrc2=size=64x64:duration=0.2", "sine=duration=0.2"
    return ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *_H264, *_AAC, *_MP4]


# ---- joining -----------------------------------------------------------------------------------


def length_s(clips: Sequence[MediaInfo], look: Look) -> float:
    """How long the joined video plays."""
    frames = sum(_frames(clip, look.fps) for clip in clips)
    return float(frames / look.fps) - sum(map(look.faded_s, range(len(clips) - 1)))


def too_short(clips: Sequence[MediaInfo], look: Look) -> list[int]:
    """Which clips (counted from 0) cannot hold the crossfades at their ends."""
    fades_s = [0.0, *map(look.faded_s, range(len(clips) - 1)), 0.0]
    return [
        n for n, clip in enumerate(clips) if float(_frames(clip, look.fps) / look.fps) <= fades_s[n] + fades_s[n + 1]
    ]


def joined(clips: Sequence[Input], look: Look) -> list[str]:
    """Clips of any encoding, one after another: scaled and padded to one size, at one rate, silent where they are."""
    infos = [clip.info for clip in clips]
    sound = any(info.has_audio for info in infos)
    chains = [_picture(n, info, look) for n, info in enumerate(infos)]
    if sound:
        chains += [_sound(n, info, look.fps) for n, info in enumerate(infos)]
    fades = any(map(look.faded_s, range(len(clips) - 1)))
    chains += _faded(infos, look, sound=sound) if fades else _cut(len(clips), sound=sound)
    if sound:
        chains.append(f"[sound]{_levelled(look.loudness_lufs)}[a]")
    graph = ["-filter_complex", ";".join(chains), "-map", "[v]", *(["-map", "[a]"] if sound else [])]
    return [*_all(clips), *graph, *_H264, *(_AAC if sound else ()), *_MP4]


def spliced(listing: str) -> list[str]:
    """Clips of one encoding, copied one after another as the file `listing` (see `splice_list`) names them."""
    confined = ["-protocol_whitelist", "file", "-format_whitelist", "concat,mov"]
    # The codec headers are equal: converting would write them into the stream once more.
    joint = ["-f", "concat", "-auto_convert", "0", "-i", f"file:{listing}"]
    return [*confined, *joint, "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", *_MP4]


def splice_list(clips: Sequence[Input]) -> str:
    """For the concat demuxer, in its safe mode: our own names need no quoting."""
    return "".join(["ffconcat version 1.0\n", *(f"file {clip.name}\n" for clip in clips)])


def _picture(n: int, info: MediaInfo, look: Look) -> str:
    """Clip `n` as exactly so many frames. A last picture stands where sound goes on; pixels may be oblong (dar).

    No setpts: it forgets the frame rate, and xfade needs one; and the time base that concat answers in.
    """
    width, height = look.size
    return (
        f"[{n}:v:0]fps={look.fps}:start_time=0,"
        f"scale=w='max(2,trunc(min({width},{height}*dar)/2)*2)':h='max(2,trunc(min({height},{width}/dar)/2)*2)',"
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1,format=yuv420p,"
        f"tpad=stop=-1:stop_mode=clone,trim=end_frame={_frames(info, look.fps)},settb=AVTB[v{n}]"
    )


def _sound(n: int, info: MediaInfo, fps: Fraction) -> str:
    source = f"[{n}:a:0]{_SOUND},apad" if info.has_audio else _SILENCE
    return f"{source},atrim=end={float(_frames(info, fps) / fps):.6f},asetpts=PTS-STARTPTS[a{n}]"


def _cut(count: int, *, sound: bool) -> list[str]:
    ins = "".join(f"[v{n}][a{n}]" if sound else f"[v{n}]" for n in range(count))
    return [f"{ins}concat=n={count}:v=1:a={int(sound)}[v]{'[sound]' if sound else ''}"]


def _faded(infos: Sequence[MediaInfo], look: Look, *, sound: bool) -> list[str]:
    """Each clip over the end of all before it, or behind it."""
    chains: list[str] = []
    last = len(infos) - 1
    for n in range(1, len(infos)):
        seen, heard = ("v0", "a0") if n == 1 else (f"x{n - 1}", f"y{n - 1}")
        seen_on, heard_on = ("v", "sound") if n == last else (f"x{n}", f"y{n}")
        fade_s = look.faded_s(n - 1)
        offset_s = length_s(infos[:n], look) - fade_s
        joint = f"xfade=transition=fade:duration={fade_s:.6f}:offset={offset_s:.6f}" if fade_s else "concat"
        chains.append(f"[{seen}][v{n}]{joint}[{seen_on}]")
        if sound:
            joint = f"acrossfade=d={fade_s:.6f}" if fade_s else "concat=v=0:a=1"
            chains.append(f"[{heard}][a{n}]{joint}[{heard_on}]")
    return chains


def _frames(info: MediaInfo, fps: Fraction) -> int:
    return max(1, round((info.duration_s or 0.0) * fps))


# ---- sound and subtitles -----------------------------------------------------------------------


def mixed(
    video: Input, tracks: Sequence[tuple[Input, Track]], *, copy_picture: bool, loudness_lufs: float | None
) -> list[str]:
    """The video with its own sound and `tracks` in one; it stays as long as it was."""
    whole = f"apad,atrim=end={video.info.duration_s or 0.0:.6f}"
    chains: list[str] = []
    front: list[str] = []
    back: list[str] = []
    if video.info.has_audio:
        chains.append(f"[0:a:0]{_SOUND},{whole}[own]")
        front.append("own")
    for n, (_, track) in enumerate(tracks, 1):
        late = f"adelay=delays={round(track.start_s * 1000)}:all=1"
        chains.append(f"[{n}:a:0]{_SOUND},volume={track.gain_db:g}dB,{late},{whole}[t{n}]")
        (back if track.duck else front).append(f"t{n}")
    if front and back:
        chains += [_sum(front, "front"), "[front]asplit[heard][key]", _sum(back, "back")]
        chains += [f"[back][key]{_DUCKED}[low]", _sum(["heard", "low"], "sound")]
    else:
        chains.append(_sum(front or back, "sound"))
    chains.append(f"[sound]{_levelled(loudness_lufs)}[a]")
    picture = ("-c:v", "copy") if copy_picture else _H264
    ins = _all([video, *(source for source, _ in tracks)])
    return [*ins, "-filter_complex", ";".join(chains), "-map", "0:v:0", "-map", "[a]", *picture, *_AAC, *_MP4]


def subtitled(video: Input, captions: str, *, language: str, copy_picture: bool, copy_sound: bool) -> list[str]:
    """The video with the WebVTT file `captions` as a track that players can switch off (3GPP timed text)."""
    confined = ["-protocol_whitelist", "file", "-format_whitelist", "webvtt", "-f", "webvtt"]
    picture, sound = ("-c:v", "copy") if copy_picture else _H264, ("-c:a", "copy") if copy_sound else _AAC
    ins = [*video.arguments(), *confined, "-i", f"file:{captions}"]
    maps = ["-map", "0:v:0", "-map", "0:a:0?", "-map", "1:s:0"]
    track = ["-c:s", "mov_text", "-disposition:s:0", "default", "-metadata:s:s:0", f"language={language}"]
    return [*ins, *maps, *picture, *sound, *_MP4, *track]


def _all(inputs: Sequence[Input]) -> list[str]:
    return [argument for each in inputs for argument in each.arguments()]


def _sum(labels: Sequence[str], into: str) -> str:
    """Added up, not averaged: a track that falls silent makes no other louder."""
    return f"{''.join(f'[{label}]' for label in labels)}amix=inputs={len(labels)}:normalize=0[{into}]"


def _levelled(loudness_lufs: float | None) -> str:
    """No clipping; and at one loudness, if asked. loudnorm answers at 192 kHz, and AAC would take it at 96."""
    if loudness_lufs is None:
        return _LIMITED
    return f"loudnorm=I={loudness_lufs:g}:TP=-1.5:LRA=11,aresample={SAMPLE_RATE}"
