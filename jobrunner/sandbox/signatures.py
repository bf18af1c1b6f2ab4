"""How each provider signs its webhooks. Every function is a `Sign`: its headers prove where the body came from."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

FAL_USER: Final = "sandbox"
_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is signed: call `id` about `work` (the provider's id of it), sent `at` unix seconds."""

    id: str
    work: str
    secret: str
    body: bytes
    at: int


Sign = Callable[[Letter], Mapping[str, str]]


def new_secret() -> str:
    """One that every scheme here can use: 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def unsigned(_letter: Letter) -> dict[str, str]:
    return {}


def standard(letter: Letter) -> dict[str, str]:
    """Standard Webhooks 1.0, as Replicate and OpenAI send them."""
    mac = hmac.digest(_raw(letter.secret), f"{letter.id}.{letter.at}.".encode() + letter.body, "sha256")
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": letter.id, "webhook-timestamp": str(letter.at), "webhook-signature": signature}


def sync(letter: Letter) -> dict[str, str]:
    """sync.so's: the key is the whole secret as it is written (its webhook guide)."""
    mac = hmac.digest(letter.secret.encode(), f"{letter.at}.".encode() + letter.body, "sha256")
    return {"Sync-Signature": f"t={letter.at},v1={mac.hex()}"}


def fal(letter: Letter) -> dict[str, str]:
    """fal's: ED25519 over four lines, the last of them the body's hash (its webhook guide)."""
    lines = (letter.work, FAL_USER, str(letter.at), hashlib.sha256(letter.body).hexdigest())
    signed = _ed25519(letter.secret).sign("\n".join(lines).encode())
    return {
        "X-Fal-Webhook-Request-Id": letter.work,
        "X-Fal-Webhook-User-Id": FAL_USER,
        "X-Fal-Webhook-Timestamp": str(letter.at),
        "X-Fal-Webhook-Signature": signed.signature.hex(),
    }


def jwks(secret: str) -> dict[str, Any]:
    """The public half of fal's key as a JSON Web Key Set (RFC 8037)."""
    public = base64.urlsafe_b64encode(bytes(_ed25519(secret).verify_key)).decode().rstrip("=")
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "sandbox", "x": public}]}


def _raw(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX))


def _ed25519(secret: str) -> Any:
    from nacl.signing import SigningKey  # noqa: PLC0415  # the [local] extra's; loads libsodium

    return SigningKey(_raw(secret))
