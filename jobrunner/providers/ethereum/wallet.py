"""The signing key: where it is read, and what it signs. It leaves this module as signatures only.

eth-account takes a second to import, so it is loaded when a key is used, off the event loop.
"""

import asyncio
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from jobrunner.errors import ConfigError
from jobrunner.providers.ethereum.fees import Fees
from jobrunner.providers.ethereum.ledger import Order, Signed
from jobrunner.settings.tables import Mint

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")


class Wallet:
    def __init__(self, key: SecretStr) -> None:
        self._key = key
        self._account: LocalAccount | None = None

    async def address(self) -> str:
        """With its checksum."""
        return str((await self._loaded()).address)

    async def sign(self, chain_id: int, nonce: int, order: Order, fees: Fees) -> Signed:
        """A transaction of type 2 (EIP-1559) that sends no money."""
        account = await self._loaded()
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "data": order.data,
            "gas": order.gas,
            "value": 0,
            "maxFeePerGas": fees.max_wei,
            "maxPriorityFeePerGas": fees.tip_wei,
        }
        if order.to is not None:
            fields["to"] = order.to
        signed = await asyncio.to_thread(account.sign_transaction, fields)
        return Signed(_hex(signed.hash), _hex(signed.raw_transaction), nonce, fees)

    async def _loaded(self) -> "LocalAccount":
        if self._account is None:
            self._account = await asyncio.to_thread(_account, self._key)
        return self._account


def wallet_of(settings: Mint) -> Wallet | None:
    """Raises ConfigError for a bad key, one without a chain, and a missing signer."""
    if settings.signs and find_spec("eth_account") is None:
        raise ConfigError("settings `mint`: what signs is not installed; run `pip install 'jobrunner[mint]'`.")
    if settings.signs and settings.chain_id is None:
        raise ConfigError("setting `mint.chain_id`: a key signs for one chain; say which (1 Ethereum, 8453 Base, ...).")
    return None if settings.signing_key is None else Wallet(_checked(settings.signing_key))


def _checked(key: SecretStr) -> SecretStr:
    if _KEY.fullmatch(key.get_secret_value()) is None:
        raise ConfigError("setting `mint.signing_key` holds no signing key: 64 hex digits.")
    return key


def _account(key: SecretStr) -> "LocalAccount":
    from eth_account import Account  # noqa: PLC0415

    try:
        account: LocalAccount = Account.from_key(key.get_secret_value())
    except Exception:  # noqa: BLE001  # its own words may quote the key
        raise ConfigError("The signing key in `[mint]` is no private key of secp256k1.") from None
    return account


def _hex(value: Any) -> str:
    return "0x" + bytes(value).hex()
