"""Signed webhooks: Standard Webhooks both ways, and the two other schemes that providers use. Pure.

Every check is over the raw bytes, in constant time, and refuses what was signed more than TOLERANCE_S ago or ahead.
Sources: the Standard Webhooks specification 1.0.0; fal's and sync.so's webhook documentation.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

TOLERANCE_S = 300
_PREFIX = "whsec_"

_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_SYNC = re.compile(r"t=(?P<timestamp>\d{1,12}),v1=(?P<signature>[0-9a-f]{64})")


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for: base64 after `whsec_`, else the text itself. Raises ValueError."""
    text = secret.removeprefix(_PREFIX)
    key = secret.encode() if text == secret else base64.b64decode(text, validate=True)
    if not key:
        raise ValueError("there is no key in the secret: anybody could sign with it")
    return key


def standard_headers(secret: str, id: str, timestamp: int, raw: bytes) -> dict[str, str]:
    """What to send along with `raw`; `timestamp` is when this attempt is made, in unix seconds."""
    signature = base64.b64encode(_standard(key_of(secret), id, str(timestamp), raw)).decode()
    return {_ID: id, _TIMESTAMP: str(timestamp), _SIGNATURE: f"v1,{signature}"}


def is_standard(secret: str, headers: Mapping[str, str], raw: bytes, now: float) -> bool:
    """Whether one of the space-separated signatures is of ours; several stand there while a secret is rotated."""
    id, timestamp = headers.get(_ID, ""), headers.get(_TIMESTAMP, "")
    if not id or not _fresh(timestamp, now):
        return False
    wanted = b"v1," + base64.b64encode(_standard(key_of(secret), id, timestamp, raw))
    given = headers.get(_SIGNATURE, "").split(" ")
    return any(hmac.compare_digest(wanted, each.encode(errors="replace")) for each in given)


def is_sync(secret: str, headers: Mapping[str, str], raw: bytes, now: float) -> bool:
    """sync.so: `Sync-Signature: t=<unix>,v1=<hex>`, HMAC-SHA256 with the whole secret over `t.body`."""
    given = _SYNC.fullmatch(headers.get("Sync-Signature", ""))
    if given is None or not _fresh(given["timestamp"], now):
        return False
    wanted = hmac.new(secret.encode(), given["timestamp"].encode() + b"." + raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, given["signature"])


def is_fal(jwks: Any, headers: Mapping[str, str], raw: bytes, now: float) -> bool:
    """fal.ai: ED25519, in hex, over request id, user id, timestamp and the body's sha256, a line each."""
    names = ("Request-Id", "User-Id", "Timestamp")
    signed = [headers.get(f"X-Fal-Webhook-{name}", "") for name in names]
    if not all(signed) or not _fresh(signed[-1], now):
        return False
    message = "\n".join([*signed, hashlib.sha256(raw).hexdigest()]).encode(errors="replace")
    try:
        signature = bytes.fromhex(headers.get("X-Fal-Webhook-Signature", ""))
        return any(_is_ed25519(_unpadded(key["x"]), signature, message) for key in jwks["keys"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _standard(key: bytes, id: str, timestamp: str, raw: bytes) -> bytes:
    return hmac.new(key, f"{id}.{timestamp}.".encode(errors="replace") + raw, hashlib.sha256).digest()


def _fresh(timestamp: str, now: float) -> bool:
    return re.fullmatch(r"[0-9]{1,12}", timestamp) is not None and abs(now - int(timestamp)) <= TOLERANCE_S


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_ed25519(key: bytes, signature: bytes, message: bytes) -> bool:
    from Crypto.Signature import eddsa  # noqa: PLC0415  # 30 ms that only a webhook of fal's is worth

    try:
        eddsa.new(eddsa.import_public_key(key), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True
