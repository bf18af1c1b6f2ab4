"""Strict JSON: each trick that a lenient parser lets through, and the answer it gets."""

import pytest

from jobrunner.api.intake import DEPTH, check_storable, parse
from jobrunner.errors import InvalidRequest, RequestError


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_plain_json_comes_through() -> None:
    body = '{"task": "t", "params": {"n": -9223372036854775808, "x": 1.5e3, "s": "Ünï 🎨", "l": [null, true]}}'
    assert parse(body.encode()) == {
        "task": "t",
        "params": {"n": -(2**63), "x": 1500.0, "s": "Ünï 🎨", "l": [None, True]},
    }
    assert parse(nested(DEPTH)) is not None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "line 1, column 2"),
        (b"{'a': 1}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"1", "must be a JSON object"),
        (b'{"a": "\xff"}', "not UTF-8: byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": 1, "b": {"k": 1, "k": 2}}', "the key 'k' twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e400}', "1e400"),
        (nested(DEPTH + 1), "deeper than 64"),
        (nested(100_000), "deeper than 64"),
        (b'{"a": ' + b"[" * 500_000, "deeper than 64"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_not_strict_json_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        parse(body)
    assert refused.value.http_status == 400


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"params": {"seed": 9223372036854775808}}', "params.seed"),
        (b'{"params": {"seed": -9223372036854775809}}', "params.seed"),
        (b'{"params": [0, ' + b"9" * 5000 + b"]}", "params.1"),
        (b'{"params": {"a": ["x", "a\\u0000b"]}}', "params.a.1"),
        (b'{"params": {"a": "\\ud800"}}', "params.a"),
        (b'{"params": {"a\\udfff": 1}}', "params.a\udfff"),
        (b'{"\\u0000": 1}', "\x00"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_postgres_cannot_keep_is_refused_with_its_path(body: bytes, path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_storable(parse(body))
    assert refused.value.http_status == 422
    assert [each["path"] for each in refused.value.errors] == [path]


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse(b'{"a": "\\ud83c\\udfa8"}') == {"a": "🎨"}
