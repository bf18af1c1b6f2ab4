"""A story's cast and scenes, read off the text itself: no model, no list prepared beforehand."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jobrunner.errors import InvalidRequest

CAST_SIZE = 8
SCENES = 36
"""About this many: longer texts get longer scenes."""

_SCENE_WORDS = 18
_MENTIONS = 2
_HEADING_CHARS = 100
_CAPTION_CHARS = 1500

_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)"
    r"[’”'\")]*\s+(?=[“‘\"'(]?[A-Z0-9À-Þ])"  # noqa: RUF001  # printed quotes
)
_NAME = re.compile(r"[A-ZÀ-Þ][a-zß-ÿ]+(?:[ -][A-ZÀ-Þ][a-zß-ÿ]+)*")
_OPENING = "“‘\"'(—–"  # noqa: RUF001
_ORDINARY = """
A An And As At Be But By Chapter For From He Her Hers Him His How If In Into It Its Me My No Nor Not Of Oh On Or Our She
So That The Their Them Then There These They This Those Thou Thee Thy To Us We What When Where Which While Who Why Will
With Ye Yes You Your Mr Mrs Miss Ms Sir Dr Madame Monsieur Monday Tuesday Wednesday Thursday Friday Saturday Sunday
January February March April May June July August September October November December
"""
_NO_NAMES = frozenset(_ORDINARY.split())


@dataclass(frozen=True, slots=True)
class Character:
    """`description` is what the text itself says where the name comes up first."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Story:
    title: str
    author: str
    cast: tuple[Character, ...]
    scenes: tuple[str, ...]


def shipped() -> Story:
    """Oscar Wilde's "The Selfish Giant" (1888, public domain), from its beginning until the children come back."""
    return parse(resources.files("jobrunner.demo").joinpath("selfish_giant.txt").read_text(encoding="utf-8"))


def read(path: Path) -> Story:
    """Any plain text. Raises InvalidRequest for one that cannot be read or holds no sentence."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"), title=path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The story {path} cannot be read as UTF-8 text: {error}") from None


def parse(text: str, *, title: str = "Untitled") -> Story:
    """A first paragraph of one or two short lines without a full stop is title and author. Raises InvalidRequest."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if part.strip()]
    author = ""
    if len(paragraphs) > 1 and _is_heading(paragraphs[0]):
        title, _, author = paragraphs.pop(0).partition("\n")
    sentences = [sentences_of(part) for part in paragraphs]
    flat = [sentence for part in sentences for sentence in part]
    if not any(re.search(r"\w", sentence) for sentence in flat):
        raise InvalidRequest("The story holds no sentence to draw.")
    return Story(title.strip(), author.strip().removeprefix("by "), cast_of(flat), scenes_of(sentences))


def _is_heading(paragraph: str) -> bool:
    lines = paragraph.split("\n")
    return len(lines) <= 2 and all(len(line) <= _HEADING_CHARS and line[-1] not in ".!?”" for line in lines)  # noqa: PLR2004


def sentences_of(paragraph: str) -> list[str]:
    joined = " ".join(paragraph.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(joined)]
    return [joined[begin:end].strip() for begin, end in zip([0, *ends], [*ends, len(joined)], strict=True)]


def cast_of(sentences: list[str]) -> tuple[Character, ...]:
    """Who is named most: capitalised words within a sentence, where nothing but a name is capitalised.

    A word that also stands inside a longer name counts for that one: "Wind" for "North Wind".
    """
    counts = Counter(name for sentence in sentences for name in _names_in(sentence))
    known = [name for name, count in counts.items() if count >= _MENTIONS]
    for short in [*known]:
        longer = next((name for name in known if name != short and short in name.split()), None)
        if longer is not None:
            kept, dropped = (longer, short) if counts[longer] >= counts[short] else (short, longer)
            counts[kept] += counts[dropped]
            known = [name for name in known if name != dropped]
    chosen = sorted(known, key=lambda name: -counts[name])[:CAST_SIZE]  # stable: of equals the first to appear
    return tuple(Character(name, _described(name, sentences)) for name in chosen)


def _names_in(sentence: str) -> Iterator[str]:
    for match in _NAME.finditer(sentence):
        words = re.split(r"(?<=[a-zß-ÿ]) ", match[0])
        before = sentence[: match.start()].rstrip()
        if not before or before[-1] in _OPENING:
            words = words[1:]  # every first word is capitalised
        while words and words[0] in _NO_NAMES:
            words = words[1:]
        if words and words[-1] not in _NO_NAMES:
            yield " ".join(words)


def _described(name: str, sentences: list[str]) -> str:
    mention = re.compile(rf"\b{re.escape(name)}\b")
    mentions = [sentence for sentence in sentences if mention.search(sentence)]
    return _clipped(" ".join(mentions[:2]))


def scenes_of(paragraphs: list[list[str]]) -> tuple[str, ...]:
    """Sentences in their order, joined until they make a picture; a paragraph's end ends a scene that is half full."""
    words = sum(len(sentence.split()) for part in paragraphs for sentence in part)
    target = max(_SCENE_WORDS, math.ceil(words / SCENES))
    scenes: list[str] = []
    pending: list[str] = []
    for part in paragraphs:
        for sentence in part:
            pending.append(sentence)
            if len(" ".join(pending).split()) >= target:
                scenes.append(" ".join(pending))
                pending = []
        if len(" ".join(pending).split()) >= target / 2:
            scenes.append(" ".join(pending))
            pending = []
    if pending:
        scenes.append(" ".join(pending))
    return tuple(map(_clipped, scenes))


def _clipped(text: str) -> str:
    return text if len(text) <= _CAPTION_CHARS else text[: _CAPTION_CHARS - 1].rsplit(" ", 1)[0] + "…"
