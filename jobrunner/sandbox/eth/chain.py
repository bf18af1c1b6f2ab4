"""The chain: a pool, a block every second, and the EVM behind them in a thread of its own."""

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from jobrunner import contract
from jobrunner.sandbox import ledger
from jobrunner.sandbox.eth import journal
from jobrunner.sandbox.eth.block import Block, Mined
from jobrunner.sandbox.eth.rpc import RpcError, data, octets
from jobrunner.sandbox.eth.transaction import Call, Fees, Transaction, check, choose, next_nonce
from jobrunner.sandbox.faults import SLOW_S, word_in
from jobrunner.sandbox.state import State

if TYPE_CHECKING:
    from jobrunner.sandbox.eth.evm import Evm

T = TypeVar("T")
NAME: Final = "eth"
BLOCK_S: Final = 1.0
QUIET_BLOCKS: Final = 64
"""How many empty blocks follow the last news, so that it is confirmed; then the chain waits for more."""
TIP_WEI: Final = 10**9
"""A gas, of what unlocked accounts send, and what eth_maxPriorityFeePerGas suggests."""
COLLECTION_NAME: Final = "Sandbox Collection"
COLLECTION_SYMBOL: Final = "SANDBOX"


@dataclass(slots=True)
class Exchange:
    """What is to go wrong with one request: its own `word`, and what its answer then suffers."""

    word: str = ""
    delivery: str = ""


class Chain:
    """Begins with the first request, since the EVM takes a second to import; ends with `aclose`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evm")
        self._evm: Evm | None = None
        self._miner: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._quiet = 0

    async def open(self) -> None:
        """Raises ImportError where py-evm is not installed."""
        if self._miner is None:
            async with self._lock:
                self._miner = self._miner or await self._opened()
        if self._miner.done():
            self._miner.result()

    async def aclose(self) -> None:
        if self._miner is not None:
            self._miner.cancel()
            await asyncio.gather(self._miner, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    @property
    def head(self) -> Block:
        head = journal.head(self._state.db)
        assert head is not None  # noqa: S101  # open() made the first one
        return head

    async def ask(self, question: Callable[["Evm"], T]) -> T:
        """What the EVM answers."""
        evm = self._evm
        assert evm is not None  # noqa: S101  # open() comes first
        return await self._in_thread(lambda: question(evm))

    async def send(self, raw: bytes, exchange: Exchange) -> str:
        """Take a signed transaction into the pool: its hash. Raises RpcError."""
        async with self._lock:
            return await self._admit(raw, exchange)

    async def send_from(
        self, call: Call, exchange: Exchange, *, nonce: int | None, gas: int | None, fees: Fees | None
    ) -> str:
        """The same for a dev account, which signs here; what is not said is chosen. Raises RpcError."""
        async with self._lock:
            head = self.head
            own = await self.next_nonce(call.sender) if nonce is None else nonce
            enough = await self.ask(lambda evm: evm.estimate(call, head.hash)) if gas is None else gas
            price = fees or Fees(2 * head.next_base_fee + TIP_WEI, TIP_WEI)
            raw = await self.ask(lambda evm: evm.signed(replace(call, gas=enough), nonce=own, fees=price))
            return await self._admit(raw, exchange)

    async def next_nonce(self, address: bytes) -> int:
        """Behind what is pending, as both are now: a block may be mined before the EVM answers."""
        at, pending = self.head.hash, journal.pending(self._state.db, data(address))
        return next_nonce(await self.ask(lambda evm: evm.nonce(address, at)), pending)

    async def mine(self) -> None:
        """The next block right now, empty or not.

        It is finished also if the caller hangs up: what the EVM has built must be written.
        """
        await asyncio.shield(asyncio.create_task(self._mine_once()))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _opened(self) -> asyncio.Task[None]:
        database = self._state.data_dir / ledger.DATABASE
        self._evm = await self._in_thread(lambda: _evm(database))
        if journal.head(self._state.db) is None:
            genesis, deployed, first = await self.ask(_first_blocks)
            with self._state.transaction() as db:
                journal.append(db, genesis)
                journal.add(db, deployed)
                journal.append(db, first)
        return asyncio.create_task(self._mine_on())

    async def _admit(self, raw: bytes, exchange: Exchange) -> str:
        transaction, now = await self.ask(lambda evm: evm.read(raw)), time.time()
        word = exchange.word or word_in(octets(transaction.shown["input"]).decode("latin-1"))
        digest = ledger.sha256(raw)
        if self._state.faults.refuses(word, digest):
            raise RpcError(-32005, "limit exceeded", status=429)
        if word in ("fail", "moderation"):
            raise RpcError(-32003, f"transaction rejected: it asked for that with [{word}]")
        at, address = self.head.hash, octets(transaction.sender)
        nonce, balance = await self.ask(lambda evm: (evm.nonce(address, at), evm.balance(address, at)))
        pending = journal.pending(self._state.db, transaction.sender)
        replaced = check(transaction, nonce=nonce, balance=balance, pending=pending)
        ready_at = now + SLOW_S / self._state.speed if word == "slow" else now
        with self._state.transaction() as db:
            self._sell(transaction, digest, now)
            if replaced is not None:
                journal.remove(db, [replaced.hash])
            if word != "drop":
                journal.add(db, replace(transaction, fate=word, ready_at=ready_at))
        self._quiet, exchange.delivery = 0, word
        return transaction.hash

    def _sell(self, transaction: Transaction, digest: str, now: float) -> None:
        """The same bytes are one purchase, however often they were forgotten and sent again."""
        db, about = self._state.db, f"nonce {transaction.nonce} of {transaction.sender}"
        if not ledger.is_sold(db, NAME, transaction.hash):
            ledger.record(db, ledger.Purchase(NAME, transaction.hash, digest, about, now, 0.0))

    async def _mine_on(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S / self._state.speed)
            async with self._lock:
                pending = journal.pending(self._state.db)
                if pending or self._quiet < QUIET_BLOCKS:
                    await self._advance(pending)

    async def _mine_once(self) -> None:
        async with self._lock:
            await self._advance(journal.pending(self._state.db))

    async def _advance(self, pending: list[Transaction]) -> None:
        head, now, senders = self.head, time.time(), {each.sender for each in pending}
        if journal.is_doomed(self._state.db, head):
            await self._reorganise(head)
            return
        nonces = await self.ask(lambda evm: {each: evm.nonce(octets(each), head.hash) for each in senders})
        chosen = choose(pending, nonces, base_fee=head.next_base_fee, gas_limit=head.gas_limit, now=now)
        mined = await self._block_after(head, [each.raw for each in chosen])
        outrun = [each.hash for each in pending if each.nonce < nonces[each.sender]]
        with self._state.transaction() as db:
            journal.append(db, mined)
            journal.remove(db, [*outrun, *mined.unfit])
        self._quiet = 0 if chosen else self._quiet + 1

    async def _reorganise(self, orphan: Block) -> None:
        """The newest block loses to two empty ones, and its transactions are pending again."""
        parent = journal.block(self._state.db, orphan.number - 1)
        assert parent is not None  # noqa: S101  # the genesis holds no transaction
        other = await self._block_after(parent, [])
        longer = await self._block_after(other.block, [])
        with self._state.transaction() as db:
            journal.unwind(db, orphan)
            journal.append(db, other)
            journal.append(db, longer)

    async def _block_after(self, parent: Block, raws: list[bytes]) -> Mined:
        """Its time is now, but a second later than its parent's at least, as the protocol has it."""
        timestamp = max(int(time.time()), parent.timestamp + 1)
        return await self.ask(lambda evm: evm.mine(parent.hash, raws, timestamp))


def _evm(database: Path) -> "Evm":
    frames = sys.getrecursionlimit()
    from jobrunner.sandbox.eth.evm import Evm  # noqa: PLC0415  # the [local] extra's, a second to import

    sys.setrecursionlimit(frames)  # py-evm raises it for the whole process, until C's own stack gives out first
    return Evm(journal.nodes(database))


def _first_blocks(evm: "Evm") -> tuple[Mined, Transaction, Mined]:
    """The genesis, and the block in which the first dev account deploys the sample contract."""
    genesis = evm.genesis(int(time.time()))
    code = contract.bytecode() + evm.encoded(COLLECTION_NAME, COLLECTION_SYMBOL)
    call, parent = Call(evm.accounts[0], b"", 0, code), genesis.block
    complete = replace(call, gas=evm.estimate(call, parent.hash))
    raw = evm.signed(complete, nonce=0, fees=Fees(2 * parent.next_base_fee + TIP_WEI, TIP_WEI))
    return genesis, evm.read(raw), evm.mine(parent.hash, [raw], parent.timestamp + 1)
