"""Signatures: the specifications' own vectors, and everything that must not pass."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from jobrunner.net.signing import TOLERANCE_S, is_fal, is_standard, is_sync, key_of, standard_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, RAW = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""The example of the Standard Webhooks specification and of its libraries' tests."""

Check = Callable[[Any, dict[str, str], bytes, float], bool]


def test_what_is_sent_is_signed_as_the_specification_says() -> None:
    assert standard_headers(SECRET, ID, AT, RAW) == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": SIGNATURE,
    }


def standard() -> tuple[Check, Any, dict[str, str]]:
    return is_standard, SECRET, standard_headers(SECRET, ID, AT, RAW)


def sync() -> tuple[Check, Any, dict[str, str]]:
    signature = hmac.new(b"sync-secret", b"%d.%b" % (AT, RAW), hashlib.sha256).hexdigest()
    return is_sync, "sync-secret", {"Sync-Signature": f"t={AT},v1={signature}"}


def fal() -> tuple[Check, Any, dict[str, str]]:
    key = eddsa.import_private_key(bytes(range(32)))
    named = {"Request-Id": "r1", "User-Id": "u1", "Timestamp": str(AT)}
    message = "\n".join([*named.values(), hashlib.sha256(RAW).hexdigest()]).encode()
    signature = eddsa.new(key, "rfc8032").sign(message).hex()
    headers = {f"X-Fal-Webhook-{name}": value for name, value in (named | {"Signature": signature}).items()}
    return is_fal, {"keys": [{"x": "A" * 43}, {"x": _base64url(key)}]}, headers


def _base64url(key: ECC.EccKey) -> str:
    return base64.urlsafe_b64encode(key.public_key().export_key(format="raw")).decode().rstrip("=")


schemes = pytest.mark.parametrize("scheme", [standard, sync, fal])


@schemes
def test_a_true_signature_passes_within_the_tolerance(scheme: Callable[[], tuple[Check, Any, dict[str, str]]]) -> None:
    check, known, headers = scheme()
    for now in (AT - TOLERANCE_S, AT, AT + TOLERANCE_S):
        assert check(known, headers, RAW, now)


@schemes
@pytest.mark.parametrize("now", [AT - TOLERANCE_S - 1, AT + TOLERANCE_S + 1])
def test_a_stale_or_early_one_does_not(scheme: Callable[[], tuple[Check, Any, dict[str, str]]], now: float) -> None:
    check, known, headers = scheme()
    assert not check(known, headers, RAW, now)


@schemes
def test_no_byte_of_it_may_change(scheme: Callable[[], tuple[Check, Any, dict[str, str]]]) -> None:
    check, known, headers = scheme()
    assert not check(known, headers, RAW + b" ", AT)
    for name, value in headers.items():
        for forged in ("", value[:-1] + ("B" if value[-1] != "B" else "C"), "ü" * len(value), f"{value}0"):
            assert not check(known, {**headers, name: forged}, RAW, AT), (name, forged)
        assert not check(known, {other: each for other, each in headers.items() if other != name}, RAW, AT)


def test_one_good_signature_among_several_is_enough() -> None:
    """As it is while a sender rotates its secret."""
    headers = standard_headers(SECRET, ID, AT, RAW)
    assert is_standard(SECRET, {**headers, "webhook-signature": f"v1,AAAA v1a,BBBB {SIGNATURE}"}, RAW, AT)
    assert not is_standard(SECRET, {**headers, "webhook-signature": SIGNATURE.replace("v1,", "v2,")}, RAW, AT)


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": [{}]}, {"keys": [{"x": 7}]}, {"keys": [{"x": "AAAA"}]}])
def test_keys_that_are_none_let_nothing_pass(jwks: Any) -> None:
    _, _, headers = fal()
    assert not is_fal(jwks, headers, RAW, AT)


def test_a_secret_without_the_prefix_is_taken_as_it_is() -> None:
    assert key_of("plain") == b"plain"
    with pytest.raises(ValueError, match="base64"):
        key_of("whsec_no base64")
