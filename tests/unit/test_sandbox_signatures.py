"""The sandbox's webhook signatures, against what their specifications print or compute."""

import hashlib
import hmac

from jobrunner.sandbox.signatures import Letter, standard, sync

EXAMPLE = Letter(
    id="msg_p5jXN8AQM9LWM0D4loKWxJek",
    work="",
    secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    body=b'{"test": 2432232314}',
    at=1614265330,
)
"""The example of the Standard Webhooks specification's reference libraries."""


def test_standard_webhooks_sign_as_their_example_does() -> None:
    assert standard(EXAMPLE) == {
        "webhook-id": EXAMPLE.id,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_sync_signs_the_time_and_the_body_with_the_whole_secret() -> None:
    mac = hmac.new(EXAMPLE.secret.encode(), b"1614265330." + EXAMPLE.body, hashlib.sha256).hexdigest()
    assert sync(EXAMPLE) == {"Sync-Signature": f"t=1614265330,v1={mac}"}
