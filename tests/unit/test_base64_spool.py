"""Pictures come out of a JSON answer in blocks, byte for byte."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobrunner.providers import base64_spool
from jobrunner.providers.answers import BadAnswer
from jobrunner.providers.base64_spool import extract


def spooled(tmp_path: Path, body: bytes) -> tuple[bytes, list[bytes]]:
    (tmp_path / "body").write_bytes(body)
    rest, paths = extract(tmp_path / "body", tmp_path)
    pictures = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    return rest, pictures


def answer(*pictures: bytes, indent: int | None = None) -> bytes:
    data = [{"b64_json": base64.b64encode(picture).decode(), "note": 'a "b64_json": "x"'} for picture in pictures]
    return json.dumps({"created": 1, "data": data, "usage": {"total_tokens": 7}}, indent=indent).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    pictures=st.lists(st.binary(max_size=300), max_size=4), block=st.integers(6, 50), indent=st.sampled_from([None, 2])
)
def test_every_picture_comes_out_whole(tmp_path: Path, pictures: list[bytes], block: int, indent: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_spool, "BLOCK_BYTES", block)
        rest, found = spooled(tmp_path, answer(*pictures, indent=indent))
    assert found == pictures
    assert [item["b64_json"] for item in json.loads(rest)["data"]] == [""] * len(pictures)
    assert json.loads(rest)["usage"] == {"total_tokens": 7}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(picture=st.binary(min_size=1, max_size=200), block=st.integers(6, 30))
def test_what_other_encoders_escape_is_understood(tmp_path: Path, picture: bytes, block: int) -> None:
    text = base64.b64encode(picture).decode()
    wrapped = "\\n".join(text[at : at + 5] for at in range(0, len(text), 5))
    forms = [text.replace("/", "\\/"), text.replace("+", "\\u002B").replace("=", "\\u003d"), wrapped, text.rstrip("=")]
    for form in forms:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(base64_spool, "BLOCK_BYTES", block)
            _, found = spooled(tmp_path, f'{{"data":[{{"b64_json" : "{form}"}}]}}'.encode())
        assert found == [picture]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"data": [{"b64_json": "AAAA',
        b'{"data": [{"b64_json": "AA!A"}]}',
        b'{"data": [{"b64_json": "AAAAA"}]}',
        b'{"data": [{"b64_json": "AA\\u1234"}]}',
        answer(b"good") + b'{"b64_json": "%%"}',
    ],
)
def test_a_broken_picture_leaves_nothing_behind(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        spooled(tmp_path, body)
    assert [path.name for path in tmp_path.iterdir()] == ["body"]


def test_what_is_not_a_string_stays(tmp_path: Path) -> None:
    body = b'{"data": [{"b64_json": null, "url": "https://h/a.png"}]}'
    assert spooled(tmp_path, body) == (body, [])
