"""The cast and the scenes that the demo reads off a text."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobrunner.demo.contact_sheet import write
from jobrunner.demo.pictures import Made, Picture, most_at_once, pictures_of
from jobrunner.demo.story import SCENES, parse, read, sentences_of, shipped
from jobrunner.errors import InvalidRequest

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_shipped_story_makes_enough_work() -> None:
    story = shipped()
    assert (story.title, story.author) == ("The Selfish Giant", "Oscar Wilde, 1888")
    assert [character.name for character in story.cast] == ["Giant", "Spring", "Hail", "Snow", "Frost", "North Wind"]
    assert 24 <= len(pictures_of(story)) <= 50


def test_scenes_hold_every_word_in_order() -> None:
    text = "One two three. Four five six seven eight nine ten eleven twelve.\n\nThirteen! “Fourteen,” he said. Fifteen?"
    assert " ".join(parse(text).scenes).split() == text.split()


def test_long_texts_get_longer_scenes_not_more() -> None:
    paragraph = "Anna went down to the sea and Berta followed her as far as the old pier. " * 20
    story = parse("\n\n".join([paragraph] * 200))
    assert SCENES <= len(story.scenes) <= 2 * SCENES + 1
    assert {character.name for character in story.cast} == {"Berta"}  # Anna only ever begins a sentence
    assert all(len(scene) <= 1500 for scene in story.scenes)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Here came Mr. Toad again. We saw Toad sing.", ["Toad"]),
        ("They met the North Wind. A Wind blew, and the Wind was the North Wind.", ["North Wind"]),
        ("He saw Ada. “Ada, come!” he cried, and so Ada came.", ["Ada"]),
        ("On the Monday it rained, and all the Monday long. So did I, and he did as I did.", []),
        ("nobody has a name here. nothing at all.", []),
        ("Il y avait Élodie, et puis Élodie partit.", ["Élodie"]),
    ],
)
def test_names_are_what_stands_capitalised_within_sentences(text: str, names: list[str]) -> None:
    assert [character.name for character in parse(text).cast] == names


def test_who_is_named_most_comes_first() -> None:
    story = parse("They saw Bea and Cid. Then Bea and Cid saw Dora, and Cid left with Dora.")
    assert [character.name for character in story.cast] == ["Cid", "Bea", "Dora"]
    assert story.cast[0].description.startswith("They saw Bea and Cid.")


def test_sentences_end_after_their_quotes() -> None:
    assert sentences_of("“Come!” he said. “I will.” Then Mr. Bell rang.") == [
        "“Come!” he said.",
        "“I will.”",
        "Then Mr. Bell rang.",
    ]


def test_a_text_without_heading_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "fox.txt"
    path.write_text("\ufeffThe fox ran.\r\n\r\nIt was fast.", encoding="utf-8")
    story = read(path)
    assert (story.title, story.author, story.cast, story.scenes) == ("fox", "", (), ("The fox ran. It was fast.",))


def test_what_is_no_story_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "binary")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "missing")
    with pytest.raises(InvalidRequest, match="no sentence"):
        parse(" \n\n * * * \n")


def test_most_at_once_counts_overlaps() -> None:
    def span(start_s: float, end_s: float) -> tuple[datetime, datetime]:
        return BEGUN + timedelta(seconds=start_s), BEGUN + timedelta(seconds=end_s)

    assert most_at_once([]) == 0
    assert most_at_once([span(0, 1), span(1, 2)]) == 1
    assert most_at_once([span(0, 3), span(1, 2), span(1.5, 4), span(3, 5)]) == 3


def test_the_contact_sheet_escapes_the_text(tmp_path: Path) -> None:
    story = parse("Tom & <Jerry>\nby \"Me\"\n\nThe cat said </p><script>alert('hi')</script> to the mouse.")
    wanted: Picture = pictures_of(story)[0]
    write(tmp_path / "index.html", story, [Made(wanted, None, None, "failed: <no> money")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<h1>Tom &amp; &lt;Jerry&gt;</h1>" in page
    assert "failed: &lt;no&gt; money" in page
