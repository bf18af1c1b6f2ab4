"""What a mouth looks like while something is said."""

import pytest

from jobrunner.sandbox.artists.visemes import CLOSED, shape_of, spoken
from jobrunner.sandbox.artists.voice import Moment


@pytest.mark.parametrize("sound", ["p", "b", "m", ""])
def test_lips_meet(sound: str) -> None:
    assert shape_of(sound) == CLOSED


def test_sounds_look_as_they_are_made() -> None:
    assert shape_of("æ").opening > shape_of("ɛ").opening > shape_of("s").opening > shape_of("f").opening > 0
    assert shape_of("i").width > shape_of("æ").width > shape_of("u").width


def test_stress_and_length_change_nothing_and_a_diphthong_looks_like_its_beginning() -> None:
    assert shape_of("ˈuː") == shape_of("u")  # noqa: RUF001  # IPA
    assert shape_of("eə") == shape_of("e")


def test_a_sound_that_is_not_listed_opens_the_mouth_a_little() -> None:
    assert 0 < shape_of("!").opening < 0.5


def test_each_frame_shows_what_is_said_in_its_middle() -> None:
    phonemes = [Moment(0.1, "m"), Moment(0.3, "a"), Moment(0.5, "")]
    shown = spoken(phonemes, frames=7, fps=10)
    assert [shape.opening for shape in shown] == [0, 0, 0, 1, 1, 0, 0]
