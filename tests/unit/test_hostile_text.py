"""Parsers and printers, given anything: each has one kind of no, and what it lets through is safe to use."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner import redaction
from jobrunner.api.intake import parse
from jobrunner.api.problems import problem
from jobrunner.errors import RequestError
from jobrunner.net import retry_after_s, signing
from jobrunner.redaction import STARS, escaped, keep_secret, redacted

HEADERS = (
    *("webhook-id", "webhook-timestamp", "webhook-signature", "Sync-Signature", "X-Fal-Webhook-Signature"),
    *("X-Fal-Webhook-Request-Id", "X-Fal-Webhook-User-Id", "X-Fal-Webhook-Timestamp"),
)
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
storable = st.recursive(
    st.none()
    | st.booleans()
    | plain
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(plain, inner),
    max_leaves=20,
)


@given(st.dictionaries(plain, storable))
def test_what_json_holds_and_postgres_keeps_comes_through(value: dict[str, object]) -> None:
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value
    assert parse(json.dumps(value).encode()) == value


@given(st.binary() | st.text(alphabet='{}[]",:\\ue0189-+.NaIn fty').map(lambda text: text.encode()))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(parse(body), dict)


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=80)), st.binary(max_size=50), st.text() | storable)
def test_nothing_is_signed_by_chance(headers: dict[str, str], raw: bytes, jwks: object) -> None:
    assert not signing.is_standard("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=", headers, raw, 1_800_000_000)
    assert not signing.is_sync("secret", headers, raw, 1_800_000_000)
    assert not signing.is_fal(jwks, headers, raw, 1_800_000_000)


@given(
    st.text(max_size=40) | st.from_regex(r"[0-9.e+-]{1,30}"), st.sampled_from(["Retry-After", "retry-after-ms", "Date"])
)
def test_any_wish_to_wait_is_a_time_or_nothing(value: str, name: str) -> None:
    wait_s = retry_after_s({"Retry-After": value, name: value})
    assert wait_s is None or (wait_s >= 0 and math.isfinite(wait_s))


@given(st.text())
def test_any_words_make_a_problem_document(text: str) -> None:
    body = problem(422, "invalid_request", text, errors=[{"path": text, "message": text}]).body
    assert isinstance(body, bytes)
    assert json.loads(body)["code"] == "invalid_request"


@given(st.text())
def test_escaped_text_is_one_line_that_no_terminal_obeys(text: str) -> None:
    assert escaped(text).isprintable()
    assert escaped(escaped(text)) == escaped(text)


@given(st.text(), st.text(), st.text(min_size=6))
def test_no_secret_is_left_in_a_text(before: str, after: str, secret: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redaction, "_known", set())
        patch.setattr(redaction, "_pattern", redaction._pattern)
        keep_secret([secret])
        assert redacted(f"{before}{secret}{after}").count(STARS) >= 1
        assert secret not in redacted(f"{before}{secret}{after}") or secret in STARS * 3
