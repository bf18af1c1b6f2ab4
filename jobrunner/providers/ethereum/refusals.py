"""What a node means by an error. Clients word it differently, so it only hints at what to ask next: state decides.

The words are geth's, Hardhat's and Ganache's, in lower case, as their sources and answers have them.
"""

from collections.abc import Mapping
from typing import Any, Literal

from jobrunner.errors import AttemptError, PermanentError, RateLimited, TransientError
from jobrunner.providers.ethereum.abi import reason

Meaning = Literal[
    "known", "nonce_used", "weak", "low_fee", "no_money", "gas", "wrong_chain", "pool_full", "reverted", "rejected",
    "other",
]  # fmt: skip
WORDS: Mapping[str, Meaning] = {
    "already known": "known",
    "known transaction": "known",
    "replacement transaction underpriced": "weak",
    "replacement fee too low": "weak",
    "transaction underpriced": "low_fee",
    "less than block base fee": "low_fee",
    "nonce too low": "nonce_used",
    "correct nonce": "nonce_used",
    "insufficient funds": "no_money",
    "enough funds": "no_money",
    "intrinsic gas too low": "gas",
    "exceeds block gas limit": "gas",
    "gas limit too high": "gas",
    "transaction gas cap": "gas",
    "requires at least": "gas",
    "chain id": "wrong_chain",
    "chainid": "wrong_chain",
    "txpool is full": "pool_full",
    "account limit exceeded": "pool_full",
    "in-flight transaction limit": "pool_full",
    "revert": "reverted",
}
FOR_GOOD: Mapping[Meaning, str] = {
    "reverted": "reverted",
    "no_money": "insufficient_funds",
    "gas": "gas_refused",
    "wrong_chain": "wrong_chain",
    "rejected": "transaction_rejected",
}
"""What would be refused again, by the code of our error."""
REFUSED = FOR_GOOD.keys() | {"low_fee", "nonce_used"}
"""Why a transaction that nobody has seen before is certainly not taken: another one may have its nonce."""

_LIMIT_CODES = frozenset({"-32005", "-32016", "-32097"})
_LIMIT_WORDS = ("rate limit", "limit exceeded", "too many requests")
_BY_CODE: Mapping[str, Meaning] = {"3": "reverted", "-32003": "rejected"}
"""What is meant where no words tell: 3 is geth's, -32003 stands in EIP-1474."""


class Refused(TransientError):
    """The node's error object, whose `meaning` is what it seems to say.

    A node that lags behind or cannot find a block says so in these too, hence it may be asked again; `judged` is for
    an answer to what was to be sent.
    """

    def __init__(self, message: str, *, meaning: Meaning, provider_code: str) -> None:
        super().__init__(message, code="ethereum_refused", provider="ethereum", provider_code=provider_code)
        self.meaning = meaning

    def judged(self) -> AttemptError:
        code = FOR_GOOD.get(self.meaning)
        if code is None:
            return self
        return PermanentError(str(self), code=code, provider=self.provider, provider_code=self.provider_code)


def refused(error: Any, retry_after_s: float | None = None) -> AttemptError:
    """The error for a JSON-RPC `error` of whatever shape."""
    found = error if isinstance(error, Mapping) else {"message": error}
    words, code = _line(found.get("message")), str(found.get("code"))[:100]
    meaning = meant(words, code)
    if meaning == "other" and (code in _LIMIT_CODES or any(word in words.lower() for word in _LIMIT_WORDS)):
        return RateLimited(f"ethereum: {words}", retry_after_s=retry_after_s, provider="ethereum", provider_code=code)
    why = _line(reason(_data(found.get("data"))))
    said = f"{words} ({why})" if why and why not in words else words
    return Refused(f"ethereum: {said or 'refused without an explanation'}.", meaning=meaning, provider_code=code)


def meant(words: str, code: str) -> Meaning:
    low = words.lower()
    return next((meaning for part, meaning in WORDS.items() if part in low), _BY_CODE.get(code, "other"))


def _data(data: Any) -> Any:
    """Hardhat wraps it: `{data: "0x08c379a0...", message: ...}`."""
    return data.get("data") if isinstance(data, Mapping) else data


def _line(text: Any) -> str:
    words = " ".join(str(text or "").split())[:500]
    return "".join(letter for letter in words if letter.isprintable())
