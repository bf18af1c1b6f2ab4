"""What ffmpeg is asked for, told without running it."""

from fractions import Fraction

import pytest

from jobrunner.media.ffmpeg import Encoding, Input, legible
from jobrunner.media.montage import Look, Track, even, frame_rate, joined, length_s, mixed, splice_list, too_short
from jobrunner.media.probe import MediaInfo
from jobrunner.media.subtitles import Cue, webvtt

LOOK = Look((320, 240), Fraction(24))


def clip(n: int, duration_s: float = 2.0, *, has_audio: bool = True, mime: str = "video/mp4") -> Input:
    return Input(f"input{n}", MediaInfo(mime, "video", 160, 120, duration_s, has_audio))


def sound(n: int) -> Input:
    return Input(f"input{n}", MediaInfo("audio/mpeg", "audio", duration_s=9.0, has_audio=True))


def graph(arguments: list[str]) -> str:
    return arguments[arguments.index("-filter_complex") + 1]


@pytest.mark.parametrize(
    ("fps", "exact"),
    [(24.0, "24"), (23.976, "24000/1001"), (29.97, "30000/1001"), (12.5, "25/2"), (120.0, "60"), (1.0, "1")],
)
def test_a_decimal_rate_is_taken_for_what_it_stands_for(fps: float, exact: str) -> None:
    assert str(frame_rate(fps)) == exact


def test_sides_are_even() -> None:
    assert (even((161, 120)), even((1, 1))) == ((160, 120), (2, 2))


@pytest.mark.parametrize(
    ("mime", "demuxer"), [("video/quicktime", "mov"), ("video/webm", "matroska"), ("audio/mpeg", "mp3")]
)
def test_an_input_is_read_by_the_demuxer_of_its_bytes_and_from_a_file_only(mime: str, demuxer: str) -> None:
    arguments = Input("input0", MediaInfo(mime, "audio")).arguments()
    assert arguments[:6] == ["-protocol_whitelist", "file", "-format_whitelist", demuxer, "-f", demuxer]
    assert arguments[-2:] == ["-i", "file:input0"]


def test_a_cut_joins_clips_of_one_shape_and_a_mute_one_gets_silence() -> None:
    text = graph(joined([clip(0), clip(1, has_audio=False)], LOOK))
    assert "[v0][a0][v1][a1]concat=n=2:v=1:a=1[v][sound]" in text
    assert text.count("pad=320:240") == text.count("trim=end_frame=48") == 2
    assert "anullsrc=r=48000:cl=stereo,aformat=sample_fmts=fltp,atrim=end=2.000000,asetpts=PTS-STARTPTS[a1]" in text


def test_mute_clips_make_a_mute_video() -> None:
    arguments = joined([clip(0, has_audio=False), clip(1, has_audio=False)], LOOK)
    assert "[v0][v1]concat=n=2:v=1:a=0[v]" in graph(arguments)
    assert not {"[a]", "-c:a"} & set(arguments)


def test_each_crossfade_begins_where_all_before_it_leave_off() -> None:
    look = Look((320, 240), Fraction(24), fade_s=0.5)
    clips = [clip(0), clip(1, 3.0), clip(2)]
    text = graph(joined(clips, look))
    assert "[v0][v1]xfade=transition=fade:duration=0.500000:offset=1.500000[x1]" in text
    assert "[x1][v2]xfade=transition=fade:duration=0.500000:offset=4.000000[v]" in text
    assert "[y1][a2]acrossfade=d=0.500000[sound]" in text
    assert length_s([each.info for each in clips], look) == 6.0


def test_a_joint_may_be_a_cut_between_crossfades() -> None:
    look = Look((320, 240), Fraction(24), fade_s=0.5, cuts=frozenset({0}))
    clips = [clip(0), clip(1, 1.0), clip(2)]
    text = graph(joined(clips, look))
    assert "[v0][v1]concat[x1]" in text
    assert "[a0][a1]concat=v=0:a=1[y1]" in text
    assert "[x1][v2]xfade=transition=fade:duration=0.500000:offset=2.500000[v]" in text
    infos = [each.info for each in clips]
    assert length_s(infos, look) == 4.5
    assert not too_short(infos, look)


def test_a_clip_must_hold_the_crossfades_at_both_its_ends() -> None:
    infos = [clip(n, 1.0).info for n in range(3)]
    assert too_short(infos, Look((2, 2), Fraction(24), fade_s=0.5)) == [1]
    assert too_short(infos, Look((2, 2), Fraction(24), fade_s=1.0)) == [0, 1, 2]
    assert not too_short(infos, LOOK)


def test_loudness_is_brought_back_to_the_rate_of_the_sound() -> None:
    look = Look((320, 240), Fraction(24), loudness_lufs=-14.0)
    assert graph(joined([clip(0)], look)).endswith("[sound]loudnorm=I=-14:TP=-1.5:LRA=11,aresample=48000[a]")


def test_music_is_lowered_by_all_that_is_not_music() -> None:
    tracks = [(sound(1), Track(start_s=1.5, gain_db=-6)), (sound(2), Track(duck=True))]
    text = graph(mixed(clip(0), tracks, copy_picture=True, loudness_lufs=None))
    assert "volume=-6dB,adelay=delays=1500:all=1,apad,atrim=end=2.000000[t1]" in text
    assert "[own][t1]amix=inputs=2:normalize=0[front];[front]asplit[heard][key]" in text
    assert "[back][key]sidechaincompress" in text


def test_music_alone_is_not_lowered() -> None:
    tracks = [(sound(1), Track(duck=True))]
    assert "sidechain" not in graph(mixed(clip(0, has_audio=False), tracks, copy_picture=True, loudness_lufs=None))


def test_a_picture_that_mp4_players_know_is_copied_and_any_other_encoded() -> None:
    for copy, codec in ((True, "copy"), (False, "libx264")):
        arguments = mixed(clip(0), [(sound(1), Track())], copy_picture=copy, loudness_lufs=None)
        assert arguments[arguments.index("-c:v") + 1] == codec


def test_a_list_to_splice_names_files_of_ours_only() -> None:
    assert splice_list([clip(0), clip(1)]) == "ffconcat version 1.0\nfile input0\nfile input1\n"


def test_an_encoding_tells_its_codecs() -> None:
    known = Encoding(("#codec_id 0: h264", "#sar 0: 1/1", "#codec_id 1: aac"))
    assert (known.picture, known.sound) == ("h264", "aac")
    assert Encoding(()).sound is None


def test_subtitles_keep_any_text_what_it_is() -> None:
    text = webvtt([Cue(3661.5, 3662, "a\n\n1\n00:00:01.000 --> 00:00:02.000\n<b>&{\\an8}")])
    assert text == (
        "WEBVTT\n\n01:01:01.500 --> 01:01:02.000\na\n1\n00:00:01.000 --&gt; 00:00:02.000\n&lt;b&gt;&amp;(\\an8)\n"
    )


def test_cues_come_in_order_and_end_where_the_next_begins() -> None:
    text = webvtt([Cue(2, 4, "second"), Cue(0, 3, "first"), Cue(2, 2.5, "lost behind it")])
    assert "00:00:00.000 --> 00:00:02.000\nfirst" in text
    assert text.index("first") < text.index("second")


def test_what_ffmpeg_says_cannot_speak_to_a_terminal() -> None:
    said = legible(b"\x1b[31mone\n\n" + b"two\xff\nthree\nfour\nfive\nsix\x07")
    assert said == "two\N{REPLACEMENT CHARACTER}; three; four; five; six\\x07"
    assert legible(b"\x1b[2J") == "\\x1b[2J"
