"""py-evm as pure calculation: blocks from transactions, and what a call would answer. Keeps nothing but its nodes.

Slow to import and to run (some 10 ms a transaction), so it lives in the chain's thread and nowhere else.
"""

import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import rlp
from eth.abc import (
    BlockAPI,
    BlockHeaderAPI,
    ComputationAPI,
    ReceiptAPI,
    SignedTransactionAPI,
    StateAPI,
    UnsignedTransactionAPI,
)
from eth.chains.base import Chain
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
from eth.constants import SECPK1_N, ZERO_ADDRESS, ZERO_HASH32
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.exceptions import OutOfGas, PyEVMError, Revert
from eth.typing import AccountDetails, HeaderParams
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.forks.shanghai.constants import MAX_INITCODE_SIZE
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_keys.datatypes import PrivateKey
from eth_keys.exceptions import BadSignature
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError

from jobrunner.sandbox.eth.accounts import CHAIN_ID, DEV_KEYS
from jobrunner.sandbox.eth.block import Block, Mined
from jobrunner.sandbox.eth.rpc import REVERTED, RpcError, data, octets, refused
from jobrunner.sandbox.eth.shapes import block_shown, mined_shown, receipts_shown, transaction_shown
from jobrunner.sandbox.eth.transaction import Call, Fees, Transaction

GAS_LIMIT: Final = 30_000_000
"""Of a block."""
FUNDS_WEI: Final = 10_000 * 10**18
"""What each dev account has to begin with."""
MAX_TYPE: Final = 2
FIRST_LEGACY_BYTE: Final = 0xC0
"""A transaction without a type is an RLP list, which begins so (EIP-2718)."""
TRANSACTION_GAS: Final = 21_000
FLOOR_GAS_A_TOKEN: Final = 10
ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")
"""Of Error(string), as which compilers encode a reason."""
ESTIMATE_ERROR: Final = 0.015
"""How much too high an estimate may be (geth's estimateGasErrorRatio)."""


_AnyTransaction = SignedTransactionAPI | UnsignedTransactionAPI


class _Nodes(MemoryDB):
    """py-evm's key-value store; remembers what has been written to it since it was last asked."""

    def __init__(self, kept: Mapping[bytes, bytes]) -> None:
        super().__init__(dict(kept))
        self._written: dict[bytes, bytes] = {}

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        self._written[key] = value

    def take(self) -> dict[bytes, bytes]:
        written, self._written = self._written, {}
        return written


class _Chain(Chain):
    chain_id = CHAIN_ID
    vm_configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((BlockNumber(0), PragueVM),))


class Evm:
    """Blocks are named by their hash, as JSON-RPC shows it; addresses are 20 bytes."""

    def __init__(self, kept: Mapping[bytes, bytes]) -> None:
        """`kept` are the nodes of all blocks so far."""
        self._nodes = _Nodes(kept)
        self._chain = _Chain(AtomicDB(self._nodes))
        keys = [PrivateKey(octets(key)) for key in DEV_KEYS]
        self._keys = {key.public_key.to_canonical_address(): key for key in keys}

    @property
    def accounts(self) -> list[bytes]:
        return list(self._keys)

    def genesis(self, timestamp: int) -> Mined:
        """Block 0, in which the dev accounts get their money."""
        nodes, funded = AtomicDB(self._nodes), AccountDetails(balance=FUNDS_WEI, nonce=0, code=b"", storage={})
        header: dict[str, HeaderParams] = {
            "coinbase": ZERO_ADDRESS, "difficulty": 0, "extra_data": b"", "gas_limit": GAS_LIMIT,
            "mix_hash": ZERO_HASH32, "nonce": bytes(8), "timestamp": timestamp,
        }  # fmt: skip
        _Chain.from_genesis(nodes, header, {Address(account): funded for account in self.accounts})
        return self._mined(self._chain.get_vm(self._chain.get_canonical_head()).get_block(), (), ())

    def read(self, raw: bytes) -> Transaction:
        """What was signed, and by whom. Raises RpcError."""
        if raw and MAX_TYPE < raw[0] < FIRST_LEGACY_BYTE:
            raise refused(f"transaction type not supported: {raw[0]}")
        try:
            transaction = _decoded(raw)
            shown = transaction_shown(transaction)
        except (rlp.RLPException, PyEVMError, ValidationError, BadSignature, ValueError, TypeError) as error:
            raise refused(f"rlp: {error}") from None
        if transaction.s > SECPK1_N // 2:
            raise refused("invalid sender: invalid transaction v, r, s values")
        _check_initcode(transaction)
        return Transaction(raw, shown, floor_gas=_floor_gas(transaction))

    def signed(self, call: Call, *, nonce: int, fees: Fees) -> bytes:
        """A transaction of a dev account, with its signature. Raises RpcError."""
        key = self._keys.get(call.sender)
        if key is None:
            raise refused("unknown account")
        unsigned = PragueTransactionBuilder.new_unsigned_dynamic_fee_transaction(
            CHAIN_ID, nonce, fees.tip, fees.max_fee, call.gas, Address(call.to), call.value, call.data, []
        )
        return unsigned.as_signed_transaction(key).encode()

    @staticmethod
    def shown(address: bytes) -> str:
        """With the checksum in its letters' case (EIP-55)."""
        return to_checksum_address(address)

    @staticmethod
    def encoded(*texts: str) -> bytes:
        """The arguments of a constructor that takes texts."""
        return encode(["string"] * len(texts), texts)

    def nonce(self, address: bytes, at: str) -> int:
        return self._state(at).get_nonce(Address(address))

    def balance(self, address: bytes, at: str) -> int:
        """Wei."""
        return self._state(at).get_balance(Address(address))

    def code(self, address: bytes, at: str) -> bytes:
        return self._state(at).get_code(Address(address))

    def call(self, call: Call, at: str) -> bytes:
        """What a contract returns. Raises RpcError if it reverts."""
        return self._tried(call, at, call.gas).output

    def estimate(self, call: Call, at: str) -> int:
        """The gas that it needs. Raises RpcError if no gas suffices."""
        spent = call.gas - self._tried(call, at, call.gas).get_gas_remaining()
        least, enough, middle = spent - 1, call.gas, spent
        while True:
            try:
                self._tried(call, at, middle)
                enough = middle
            except RpcError:
                least = middle
            if enough - least <= max(1, least * ESTIMATE_ERROR):
                return enough
            middle = (least + enough) // 2

    def mine(self, parent: str, raws: Iterable[bytes], timestamp: int) -> Mined:
        """The block after `parent`. What does not fit the state, by its nonce say, is left out."""
        head = self._header(parent)
        header = self._chain.create_header_from_parent(head, timestamp=timestamp, gas_limit=head.gas_limit)
        vm = self._chain.get_vm(header)
        applied: list[SignedTransactionAPI] = []
        receipts: list[ReceiptAPI] = []
        unfit = []
        for raw in raws:
            transaction = _decoded(raw)
            try:
                receipt, _ = vm.apply_transaction(header, transaction)
            except ValidationError:  # raised before anything is changed
                unfit.append(data(transaction.hash))
                continue
            header = vm.add_receipt_to_header(header, receipt)
            applied.append(transaction)
            receipts.append(receipt)
        filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), header, applied, receipts)
        block = vm.mine_block(filled).block
        self._chain.persist_block(block)
        return self._mined(block, receipts, unfit)

    def _mined(self, block: BlockAPI, receipts: Sequence[ReceiptAPI], unfit: Sequence[str]) -> Mined:
        return Mined(
            Block(block_shown(block), calculate_expected_base_fee_per_gas(block.header)),
            [mined_shown(block, index) for index in range(len(block.transactions))],
            receipts_shown(block, receipts),
            self._nodes.take(),
            unfit,
        )

    def _header(self, at: str) -> BlockHeaderAPI:
        return self._chain.get_block_header_by_hash(Hash32(octets(at)))

    def _state(self, at: str) -> StateAPI:
        return self._chain.get_vm(self._header(at)).state

    def _tried(self, call: Call, at: str, gas: int) -> ComputationAPI:
        """Apply it to the state at a block, as if gas were free, and keep nothing of that. Raises RpcError."""
        state = self._chain.get_vm(self._header(at).copy(base_fee_per_gas=0)).state
        unsigned = PragueTransactionBuilder.create_unsigned_transaction(
            nonce=state.get_nonce(Address(call.sender)), gas_price=0, gas=gas, to=Address(call.to),
            value=call.value, data=call.data,
        )  # fmt: skip
        _check_initcode(unsigned)
        spoofed = cast("SignedTransactionAPI", SpoofTransaction(unsigned, from_=Address(call.sender)))
        try:
            if gas < _floor_gas(unsigned):
                raise refused(f"intrinsic gas too low: gas {gas}, minimum needed {_floor_gas(unsigned)}")
            computation = state.apply_transaction(spoofed)
        except ValidationError:
            raise refused("insufficient funds for gas * price + value") from None
        if computation.is_error:
            raise _failure(computation)
        return computation


@functools.lru_cache(maxsize=1024)
def _decoded(raw: bytes) -> SignedTransactionAPI:
    """Kept, since it knows its sender: to recover one from a signature is slow."""
    return PragueTransactionBuilder.decode(raw)


def _check_initcode(transaction: _AnyTransaction) -> None:
    """Raises RpcError for a contract too large to deploy (EIP-3860)."""
    if not transaction.to and len(transaction.data) > MAX_INITCODE_SIZE:
        size = len(transaction.data)
        raise refused(f"max initcode size exceeded: code size {size}, limit {MAX_INITCODE_SIZE}")


def _floor_gas(transaction: _AnyTransaction) -> int:
    """The least that it could use: what its bytes cost, also where nothing is executed (EIP-7623)."""
    zeros = transaction.data.count(0)
    tokens = zeros + 4 * (len(transaction.data) - zeros)
    return max(transaction.intrinsic_gas, TRANSACTION_GAS + FLOOR_GAS_A_TOKEN * tokens)


def _failure(computation: ComputationAPI) -> RpcError:
    """Why a call failed, as geth says it; a contract's own reason is there to read."""
    if isinstance(computation.error, OutOfGas):
        return refused("out of gas")
    if not isinstance(computation.error, Revert):
        return refused(f"invalid opcode: {computation.error}")
    reason, output = "", computation.output
    if output.startswith(ERROR_SELECTOR):
        with contextlib.suppress(DecodingError, UnicodeDecodeError):
            reason = f": {decode(['string'], output[4:])[0]}"
    return RpcError(REVERTED, f"execution reverted{reason}", data(output))
