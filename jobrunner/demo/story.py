"""A text to be filmed: who wrote it, and into how many scenes it falls. What is in them is the screenplay's to say."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jobrunner.errors import InvalidRequest

MOST_SCENES = 8

_HEADING_CHARS = 100
_SENTENCE = re.compile(r"\w[^.!?…]*[.!?…]*")


@dataclass(frozen=True, slots=True)
class Story:
    title: str
    author: str
    text: str
    scenes: int


def shipped() -> Story:
    """Oscar Wilde's "The Selfish Giant" (1888, public domain), abridged to what six short scenes hold."""
    return parse(resources.files("jobrunner.demo").joinpath("selfish_giant.txt").read_text(encoding="utf-8"))


def read(path: Path) -> Story:
    """Any plain text. Raises InvalidRequest for one that cannot be read or holds no sentence."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"), title=path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The story {path} cannot be read as UTF-8 text: {error}") from None


def parse(text: str, *, title: str = "Untitled") -> Story:
    """A scene for each paragraph, or of a single one for each sentence; of long texts MOST_SCENES.

    A first paragraph of one or two short lines without a full stop is title and author. Raises InvalidRequest.
    """
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if part.strip()]
    author = ""
    if len(paragraphs) > 1 and _is_heading(paragraphs[0]):
        title, _, author = paragraphs.pop(0).partition("\n")
    body = "\n\n".join(paragraphs)
    sentences = _SENTENCE.findall(body)
    if not sentences:
        raise InvalidRequest("The story holds no sentence to film.")
    parts = len(paragraphs) if len(paragraphs) > 1 else len(sentences)
    return Story(title.strip(), author.strip().removeprefix("by "), body, min(parts, MOST_SCENES))


def _is_heading(paragraph: str) -> bool:
    lines = paragraph.split("\n")
    return len(lines) <= 2 and all(len(line) <= _HEADING_CHARS and line[-1] not in ".!?”" for line in lines)  # noqa: PLR2004
