"""Answers without a model: what can honestly be taken from the prompt's own words, and a label that says so.

For a JSON Schema the answer is an object that fits it. Its strings are pieces of the text, its lists one item a
paragraph (or a name, or a quoted speech), its numbers places in a list, its truths the hits of a word list.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import orjson

LABEL: Final = "extracted offline by the sandbox"
TITLES: Final = frozenset({"title", "heading", "headline", "setting"})
NOTES: Final = frozenset({"notes", "note", "comment", "remark"})
LIMITS: Final = frozenset({"enum", "const", "maxLength", "pattern", "format"})
"""A string without these may carry the label, where no field is for notes."""
PLACES: Final = frozenset({"number", "index", "position", "scene_number", "order"})
NARRATION: Final = frozenset({"narration"})
"""Left to a narrator: without the speeches, where these have a list of their own."""
TITLE_WORDS: Final = 8
FEW: Final = 6
"""Items of a list whose length the schema leaves open."""
MAX_NAMES: Final = 4
WATCHED: Final = {
    "harassment": "idiot loser moron pathetic worthless",
    "hate": "inferior subhuman vermin",
    "illicit": "cocaine heroin meth bomb counterfeit",
    "self-harm": "suicide suicidal selfharm",
    "sexual": "nude naked porn erotic",
    "violence": "kill killed murder stab shoot shot blood gun attack",
}
"""What is looked for in a text that shall be judged; far from complete, which is what the label is for."""

_SENTENCE = re.compile(r"[^.!?…]+(?:[.!?…]+[\"'\u2019\u201d)]*|$)")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")
_SPEECH = re.compile(
    r"(?P<before>[^.!?…“”\"]*)[“\"](?P<said>[^“”\"]+)[”\"](?P<after>(?:,? ?[a-z][^.!?…“”\"]*[.!?…]?)?)"
)
"""A quotation, with what else its sentence holds."""


@dataclass(frozen=True, slots=True)
class Written:
    """`text` is the answer; tokens as the API counts them, roughly. `cut`: it stops at the limit that was given."""

    text: str
    input_tokens: int
    output_tokens: int
    cut: bool


def write(instructions: str, text: str, schema: Mapping[str, Any] | None, max_tokens: int | None) -> Written:
    """The answer to `text`; the instructions count as tokens and are not understood."""
    words = f"[{LABEL}] {' '.join(_sentences(text)[:3])}" if schema is None else _json(schema, text)
    cut = max_tokens is not None and len(words) > 4 * max_tokens
    words = words[: 4 * max_tokens] if cut and max_tokens else words
    return Written(words, (len(instructions) + len(text)) // 4 + 1, len(words) // 4 + 1, cut)


def _json(schema: Mapping[str, Any], text: str) -> str:
    known = schema.get("$defs", {})
    made = _value(schema, known, "", text, 1)
    fields = {name: _resolved(each, known) for name, each in schema.get("properties", {}).items()}
    if not NOTES & fields.keys():
        free = next(
            (name for name, each in fields.items() if each.get("type") == "string" and not LIMITS & each.keys()), ""
        )
        if free:
            made[free] = f"{made[free]} [{LABEL}]"
    return orjson.dumps(made).decode()


def _value(schema: Mapping[str, Any], known: Mapping[str, Any], name: str, text: str, place: int) -> Any:
    """A value that fits `schema`, taken from `text`; `known` are its $defs, `place` the item's, from 1."""
    schema = _resolved(schema, known)
    if "enum" in schema:
        return next(iter(_chosen(schema["enum"], text)), schema["enum"][0])
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            speaks = any(_is_speech(_item(each, known)) for each in fields.values())
            told = _untold(text) if speaks else text
            return {
                field: _value(each, known, field, told if field in NARRATION else text, place)
                for field, each in fields.items()
            }
        case "array":
            return _items(schema, known, name, text)
        case "string":
            return _string(name, text)[: schema.get("maxLength")]
        case "integer" | "number":
            return place if name in PLACES else schema.get("minimum", 0)
        case "boolean":
            return bool(_chosen(sorted(WATCHED), text))
    return schema.get("const")


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference means, and of several choices the first."""
    while "$ref" in schema or "anyOf" in schema:
        schema = schema["anyOf"][0] if "anyOf" in schema else known.get(schema["$ref"].split("/")[-1], {})
    return schema


def _item(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    return _resolved(schema.get("items", {}), known)


def _is_speech(item: Mapping[str, Any]) -> bool:
    return "speaker" in item.get("properties", {})


def _items(schema: Mapping[str, Any], known: Mapping[str, Any], name: str, text: str) -> list[Any]:
    items = _item(schema, known)
    least, most = schema.get("minItems", 0), schema.get("maxItems", FEW)
    if "enum" in items:
        return _chosen(items["enum"], text)[:most]
    if _is_speech(items):
        heard = enumerate(_speeches(text)[:most], 1)
        return [_value(items, known, name, said, place) | {"speaker": who} for place, (who, said) in heard]
    if "name" in items.get("properties", {}):
        found = [(each, _about(each, text)) for each in _names(text)[: min(most, MAX_NAMES)]]
        made = [_value(items, known, name, about, place) | {"name": who} for place, (who, about) in enumerate(found, 1)]
        if len(made) >= least:
            return made
    parts = _parts(text, least, most)
    return [_value(items, known, name, part, place) for place, part in enumerate(parts, 1)]


def _string(name: str, text: str) -> str:
    if name in NOTES:
        return f"{LABEL}; no model has read this text."
    if name in TITLES:
        words = text.split()
        return " ".join(words[:TITLE_WORDS]).rstrip(".,;:!?") + ("…" if len(words) > TITLE_WORDS else "")
    return " ".join(text.split())


def _chosen(values: Sequence[Any], text: str) -> list[Any]:
    """Those that the text names, or that the word list finds in it."""
    words = set(re.findall(r"[\w-]+", text.lower()))
    return [each for each in values if words & {str(each).lower(), *WATCHED.get(str(each), "").split()}]


def _names(text: str) -> list[str]:
    """Capitalised words inside sentences, the most frequent first."""
    return [name for name, _ in Counter(_NAME.findall(text)).most_common()]


def _about(name: str, text: str) -> str:
    return " ".join([each for each in _sentences(text) if name in each][:2])


def _speeches(text: str) -> list[tuple[str, str]]:
    """Who says what: the name behind the quotation, else the one before it, else the text's most frequent one."""
    names = _names(text)
    found = [match.groupdict() for match in _SPEECH.finditer(" ".join(text.split()))] if names else []
    places = [[who for place in ("after", "before") for who in names if who in each[place]] for each in found]
    return [
        (next(iter(named), names[0]), re.sub(",$", ".", each["said"]))
        for named, each in zip(places, found, strict=True)
    ]


def _untold(text: str) -> str:
    """The text without the sentences of its speeches; all of it where nothing else is left."""
    rest = _SPEECH.sub("", " ".join(text.split())) if _speeches(text) else ""
    return " ".join(rest.split()) or text


def _parts(text: str, least: int, most: int) -> list[str]:
    """The text in `least` to `most` pieces: its paragraphs, else its sentences in even shares."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    if least <= len(paragraphs) <= most and len(paragraphs) > 1:
        return paragraphs
    sentences = _sentences(text)
    number = max(least, min(most, len(sentences)))
    bounds = [round(index * len(sentences) / number) for index in range(number + 1)] if number else []
    return [
        " ".join(sentences[start:end] or sentences[min(start, len(sentences) - 1) :][:1])
        for start, end in pairwise(bounds)
    ]


def _sentences(text: str) -> list[str]:
    return [found.strip() for found in _SENTENCE.findall(" ".join(text.split())) if found.strip()] or [text]
