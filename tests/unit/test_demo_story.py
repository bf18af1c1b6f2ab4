"""What the demo decides by itself: how a text falls into scenes, how they are cut, and what the jobs cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobrunner.demo.contact_sheet import write
from jobrunner.demo.crew import voice_of
from jobrunner.demo.cutting import Cue, Shot, Speech, cues, film_s, narrated_s, placed, said_s, speakable
from jobrunner.demo.jobs import most_at_once
from jobrunner.demo.prices import Item, bill
from jobrunner.demo.script import Film, Picture
from jobrunner.demo.story import MOST_SCENES, parse, read, shipped
from jobrunner.errors import InvalidRequest

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def said(text: str, length_s: float, speaker: str | None = None) -> Speech:
    return Speech(text, "sound", length_s, speaker)


# ---- the story ---------------------------------------------------------------------------------


def test_every_paragraph_of_the_shipped_story_is_a_scene() -> None:
    story = shipped()
    assert (story.title, story.author, story.scenes) == ("The Selfish Giant", "Oscar Wilde, 1888", 6)
    assert story.text.count("\n\n") == story.scenes - 1


@pytest.mark.parametrize(
    ("text", "scenes"),
    [
        ("One. Two! Three?", 3),
        ("A first part.\n\nA second. And more.", 2),
        ("A part.\n\n" * 30, MOST_SCENES),
        ("no full stop", 1),
    ],
)
def test_a_text_falls_into_its_paragraphs_or_its_sentences(text: str, scenes: int) -> None:
    assert parse(text).scenes == scenes


def test_a_text_without_heading_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "fox.txt"
    path.write_text("\ufeffThe fox ran.\r\n\r\nIt was fast.", encoding="utf-8")
    story = read(path)
    assert (story.title, story.author, story.text) == ("fox", "", "The fox ran.\n\nIt was fast.")


def test_what_is_no_story_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "binary")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "missing")
    with pytest.raises(InvalidRequest, match="no sentence"):
        parse(" \n\n * * * \n")


# ---- the cut -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Short enough.", "Short enough."),
        ("One two three. " + "and more " * 20, "One two three."),
        ("on and on " * 20, "on and on " * 7 + "on…"),
        (
            f"“{'word ' * 9}end.” Then, {'word ' * 9}end. And {'so on ' * 9}",
            f"“{'word ' * 9}end.” Then, {'word ' * 9}end.",
        ),
    ],
)
def test_a_narrator_speaks_whole_sentences_as_many_as_a_shot_holds(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


def test_a_shot_holds_its_speech_and_the_fades() -> None:
    assert narrated_s(said("...", 6.0)) == 8  # 0.6 + 0.3 before it, 0.3 + 0.6 behind it
    assert said_s(said("...", 2.0, "Giant")) == 3
    assert (said_s(said("...", 0.1, "Giant")), narrated_s(said("...", 60.0))) == (3, 10)


def test_speeches_lie_where_the_cut_puts_their_shots() -> None:
    told, line, end = said("Once.", 2.0), said("Ha!", 1.0, "Giant"), said("The end.", 1.0)
    scenes = [[Shot("a", 4.0, told, 0.9), Shot("b", 3.0, line)], [Shot("c", 4.0, end, 0.9)]]
    assert placed(scenes) == [(0.9, told), (4.0, line), (pytest.approx(7.3), end)]
    assert film_s([[4, 3], [4]]) == pytest.approx(10.4)


def test_cues_share_the_time_of_a_speech_by_their_letters() -> None:
    long = "word " * 19 + "word"
    first, second, line = cues([(1.0, said(long, 10.0)), (20.0, said("Ha!", 1.0, "Giant"))])
    assert f"{first.text} {second.text}" == long
    assert (first.start_s, first.end_s, second.end_s) == (1.0, second.start_s, 11.0)
    assert first.end_s == pytest.approx(6.0)
    assert line == Cue(20.0, 21.0, "Giant: Ha!")


def test_voices_fit_who_is_described() -> None:
    voices = {voice_of(text) for text in ("He is old.", "She, the queen, is young.", "A child of six.")}
    assert len(voices) == 3
    assert voice_of("A woman.") == voice_of("She is old.")


# ---- the account -------------------------------------------------------------------------------


def job(steps: list[dict[str, Any]], *lengths_s: float | None) -> dict[str, Any]:
    return {"steps": steps, "artifacts": [{"duration_s": length_s} for length_s in lengths_s]}


def step(provider: str | None, model: str, cost: tuple[str, str] | None = None, state: str = "done") -> dict[str, Any]:
    shown = None if cost is None else {"amount": cost[0], "unit": cost[1]}
    return {"provider": provider, "model": model, "state": state, "cost": shown}


def test_a_bill_counts_as_each_provider_does() -> None:
    flux = step("replicate", "black-forest-labs/flux-schnell", ("0.8", "seconds"))
    clip = step("runway", "gen4.5", ("60", "credits"))
    lips = step("fal", "fal-ai/sync-lipsync/v2")
    other = step("nobody", "m", ("7", "tokens"))
    refused = step("runway", "gen4.5", state="failed")
    free = step(None, "")
    jobs = [job([flux], None, None), job([refused, clip], 5.0), job([clip], 5.0), job([lips], 4.0), job([other, free])]
    assert bill(jobs) == [
        Item("replicate:black-forest-labs/flux-schnell", 1, Decimal(2), "pictures", Decimal("0.006")),
        Item("runway:gen4.5", 2, Decimal(120), "credits", Decimal("1.20")),
        Item("fal:fal-ai/sync-lipsync/v2", 1, Decimal(4), "seconds", Decimal("0.2")),
        Item("nobody:m", 1, Decimal(7), "tokens", None),
    ]


def test_most_at_once_counts_overlaps() -> None:
    def ran(start_s: float, end_s: float) -> dict[str, str]:
        times = {"started_at": start_s, "completed_at": end_s}
        return {name: (BEGUN + timedelta(seconds=at_s)).isoformat() for name, at_s in times.items()}

    assert most_at_once([]) == 0
    assert most_at_once([ran(0, 1), ran(1, 2)]) == 1
    assert most_at_once([ran(0, 3), ran(1, 2), ran(1.5, 4), ran(3, 5)]) == 3


def test_the_contact_sheet_escapes_the_text(tmp_path: Path) -> None:
    story = parse("Tom & <Jerry>\nby \"Me\"\n\nThe cat said </p><script>alert('hi')</script> to the mouse.")
    write(tmp_path / "index.html", story, Film([], [Picture("Scene 1", story.text, "scene-01.png")], {}, {}))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<h1>Tom &amp; &lt;Jerry&gt;</h1>" in page
    assert 'src="film.mp4"' in page
