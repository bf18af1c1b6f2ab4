"""The sandbox's offline answers: of the shape that was asked for, in the text's own words, and labelled."""

import json
from typing import Any

import pytest

from jobrunner.sandbox.openai.extraction import LABEL, write
from jobrunner.tasks import ai

STORY = (
    "At dawn old Mira climbed the lighthouse. The sea was grey. Below, Tom waited with the boat.\n\n"
    "They rowed out together. A storm rose behind Mira and the lamp went dark.\n\n"
    "In the end Tom found the spare lamp. The harbour cheered."
)


def answer(schema: dict[str, Any], text: str) -> Any:
    return json.loads(write("Do as the schema says.", text, schema, None).text)


@pytest.mark.parametrize("scenes", [1, 3, 5, 12])
def test_a_story_becomes_the_screenplay_that_the_task_accepts(scenes: int) -> None:
    model = ai._screenplay_of(scenes)
    made = model.model_validate(answer(model.model_json_schema(), STORY))
    assert {character.name for character in made.characters} == {"Mira", "Tom"}
    assert all(scene.description in " ".join(STORY.split()) for scene in made.scenes)
    assert LABEL in made.notes


def test_paragraphs_are_scenes_where_their_number_is_right() -> None:
    made = answer(ai._screenplay_of(3).model_json_schema(), STORY)
    assert [scene["narration"] for scene in made["scenes"]] == STORY.split("\n\n")


def test_speeches_are_lines_of_who_is_named_beside_them_and_leave_the_narration() -> None:
    text = (
        "One day the Giant came home. “Who is there?” cried the Giant. He frowned. "
        "Then the old Snow said: “I am, and the Giant knows me.” “Go,” he said."
    )
    (scene,) = answer(ai._screenplay_of(1).model_json_schema(), text)["scenes"]
    assert [(line["speaker"], line["text"]) for line in scene["lines"]] == [
        ("Giant", "Who is there?"),
        ("Snow", "I am, and the Giant knows me."),
        ("Giant", "Go."),
    ]
    assert scene["narration"] == "One day the Giant came home. He frowned."
    assert scene["description"] == text


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("He drew a gun to kill the king.", ["violence"]),
        ("A picnic in the meadow.", []),
        ("You moron!", ["harassment"]),
    ],
)
def test_a_word_list_judges(text: str, categories: list[str]) -> None:
    verdict = ai.Verdict.model_validate(answer(ai.Verdict.model_json_schema(), text))
    assert (verdict.categories, verdict.flagged) == (categories, bool(categories))


def test_without_a_field_for_notes_the_first_words_carry_the_label() -> None:
    assert answer(ai.EnhancedPrompt.model_json_schema(), "a cat") == {"prompt": f"a cat [{LABEL}]"}
    assert write("", "a cat", None, None).text == f"[{LABEL}] a cat"


def test_every_kind_of_value_fits_its_schema() -> None:
    named = {"type": "object", "properties": {"name": {"type": "string"}}}
    fields = {
        "mood": {"enum": ["calm", "stormy"]},
        "kind": {"const": "story"},
        "score": {"type": "number", "minimum": 2},
        "alive": {"type": "boolean"},
        "people": {"type": "array", "items": named, "minItems": 2},
        "maybe": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
        "nothing": {"type": "null"},
    }
    made = answer({"type": "object", "properties": fields}, "A stormy sea.")
    assert (made["mood"], made["kind"], made["score"], made["alive"]) == ("stormy", "story", 2, False)
    assert (len(made["people"]), made["maybe"], made["nothing"]) == (2, "A s", None)


def test_an_answer_stops_at_its_limit_and_says_so() -> None:
    written = write("", STORY, None, 5)
    assert (len(written.text), written.cut) == (20, True)
    assert not write("", STORY, None, 500).cut
