"""What must be committed before a transaction is broadcast: its signed bytes, its nonce, and for which order it is.

Several workers share one key, so its nonces are given out by one place; the store implements it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from jobrunner.providers.ethereum.fees import Fees

State = Literal["signed", "mined", "reverted", "refused", "taken"]
"""signed: it may be in a block at any time. mined: it is, for good. reverted: it is, and did nothing. refused: the
node would not have it, and its nonce is free again. taken: another transaction used its nonce."""
ALIVE = frozenset({"signed", "mined"})


@dataclass(frozen=True, slots=True)
class Signer:
    """An account of one chain. `genesis` is the hash of block 0: a development chain that starts anew is another."""

    chain_id: int
    genesis: str
    address: str


@dataclass(frozen=True, slots=True)
class Order:
    """A call to be made once, whoever asks for it how often: `key` (64 hex digits) never comes again with another.

    `to` None creates a contract. `data` is 0x-hex.
    """

    key: str
    job_id: UUID | None
    to: str | None
    data: str
    gas: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction; `raw` and `hash` are 0x-hex. `age_s`: when it was read, since its commit."""

    hash: str
    raw: str
    nonce: int
    fees: Fees
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Mint:
    """An order and all that was ever signed for it, oldest first."""

    order: Order
    signer: Signer
    state: State
    transactions: Sequence[Signed]

    @property
    def newest(self) -> Signed:
        return self.transactions[-1]

    @property
    def live(self) -> Sequence[Signed]:
        """Those of its nonce, newest first: whichever is mined wins. Earlier nonces were given back, or are used."""
        return [each for each in reversed(self.transactions) if each.nonce == self.newest.nonce]


Sign = Callable[[int], Awaitable[Signed]]
"""Signs for a nonce."""


class Ledger(Protocol):
    """All methods raise Unavailable where the database is away."""

    async def find(self, key: str) -> Mint | None: ...

    async def at(self, signer: Signer, nonce: int) -> Mint | None:
        """Whose the nonce is."""

    async def sign(self, order: Order, signer: Signer, floor: int, sign: Sign) -> tuple[Mint, bool]:
        """The order's mint, and whether it was signed just now, at the first free nonce from `floor` on.

        One at a time for each signer. Its job can be cancelled no more; TransientError `job_lost` where it was
        cancelled already, or ended.
        """

    async def replace(self, mint: Mint, sign: Sign) -> Mint:
        """Sign once more at the same nonce, unless somebody else did so since `mint` was read."""

    async def settle(self, key: str, state: State) -> None:
        """Note how it ended."""
