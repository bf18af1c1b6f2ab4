"""Params that name files by URL: found wherever they stand, and refused before a job is accepted."""

import pytest
from pydantic import BaseModel

from jobrunner.errors import UrlNotAllowed
from jobrunner.net import Net
from jobrunner.tasks.image import SceneImage
from jobrunner.tasks.merge import MergeVideos
from jobrunner.tasks.params import Source, Text, check_urls, urls_in

ID = "0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e"


class Layer(BaseModel):
    file: Source
    note: Text = "-"


class Nested(BaseModel):
    layers: dict[str, list[Layer]]
    cover: Source | None = None


def test_files_named_by_url_are_found_wherever_they_stand() -> None:
    layer = Layer(file="https://a.example/1", note="https://127.0.0.1/")
    params = Nested(layers={"back": [layer, Layer(file=ID)]}, cover="data:image/png;base64,AA==")
    assert list(urls_in(params)) == [("params.layers.back.0.file", "https://a.example/1")]
    assert params.model_dump(mode="json")["layers"]["back"][0]["file"] == "https://a.example/1"


def test_a_url_in_a_prompt_is_words() -> None:
    params = SceneImage(user_id="u1", scene_number=1, scene_description="https://127.0.0.1/ as a painting")
    check_urls(params, Net().check_url)


def test_a_refusal_names_the_field() -> None:
    clips = ("https://example.com/a.mp4", "https://169.254.169.254/latest/meta-data/")
    with pytest.raises(UrlNotAllowed) as refused:
        check_urls(MergeVideos(user_id="u1", clips=clips), Net().check_url)
    assert refused.value.http_status == 422
    assert "params.clips.1" in str(refused.value)
