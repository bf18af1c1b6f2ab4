"""The sample contract on a real EVM: what it mints, what it refuses, and whether it is what its source says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.abi import function_signature_to_4byte_selector
from vyper import compile_code

from jobrunner import contract
from jobrunner.sandbox.eth.evm import Evm
from jobrunner.sandbox.eth.rpc import RpcError, octets
from jobrunner.sandbox.eth.transaction import Call, Fees

KEY, OTHER_KEY = bytes(31) + b"\1", bytes(31) + b"\2"
URI = "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
MINT = "mint(address,string,bytes32)"
SAFE = "safeTransferFrom(address,address,uint256)"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
RECEIVER = """
# pragma version ==0.4.3
@external
def onERC721Received(operator: address, sender: address, token_id: uint256, data: Bytes[1024]) -> bytes4:
    return {answer}
"""


@dataclass
class World:
    """A chain of one contract; transactions are mined one a block."""

    evm: Evm
    now: int
    head: str
    contract: bytes = b""

    def send(self, sender: bytes, to: bytes, payload: bytes) -> dict[str, Any]:
        """The receipt."""
        nonce = self.evm.nonce(sender, self.head)
        order = Call(sender, to, 0, payload, 3_000_000)
        raw = self.evm.signed(order, nonce=nonce, fees=Fees(10**11, 1))
        self.now += 1
        mined = self.evm.mine(self.head, [raw], self.now)
        self.head = mined.block.hash
        return dict(mined.receipts[0])

    def deploy(self, code: bytes) -> bytes:
        return octets(self.send(self.evm.accounts[0], b"", code)["contractAddress"])

    def do(self, sender: bytes, signature: str, *values: object) -> dict[str, Any]:
        """The receipt of a call that must succeed."""
        self.ask(signature, *values, sender=sender)
        receipt = self.send(sender, self.contract, called(signature, values))
        assert receipt["status"] == "0x1"
        return receipt

    def ask(self, signature: str, *values: object, sender: bytes = bytes(20), gives: str = "") -> Any:
        """What the call returns, as the ABI type it `gives`. Raises RpcError with its reason."""
        output = self.evm.call(Call(sender, self.contract, 0, called(signature, values)), self.head)
        return decode([gives], output)[0] if gives else None


def called(signature: str, values: Sequence[object]) -> bytes:
    types = [kind for kind in signature.split("(")[1].rstrip(")").split(",") if kind]
    return function_signature_to_4byte_selector(signature) + encode(types, values)


@pytest.fixture
def world() -> World:
    evm, now = Evm({}), 1_900_000_000
    world = World(evm, now, evm.genesis(now).block.hash)
    world.contract = world.deploy(contract.bytecode() + evm.encoded("Bears", "BEAR"))
    return world


def test_the_compiled_contract_is_what_the_source_says() -> None:
    made = compile_code(contract.source(), output_formats=["abi", "bytecode"])
    assert (json.loads(json.dumps(made["abi"])), octets(made["bytecode"])) == (contract.abi(), contract.bytecode())


def test_it_says_what_it_is(world: World) -> None:
    assert world.ask("name()", gives="string") == "Bears"
    assert world.ask("symbol()", gives="string") == "BEAR"
    assert octets(world.ask("owner()", gives="address")) == world.evm.accounts[0]
    for interface in ("01ffc9a7", "80ac58cd", "5b5e139f"):
        assert world.ask("supportsInterface(bytes4)", bytes.fromhex(interface), gives="bool")
    assert not world.ask("supportsInterface(bytes4)", b"\xff" * 4, gives="bool")


def test_minting_numbers_tokens_and_remembers_keys(world: World) -> None:
    owner, holder, *_ = world.evm.accounts
    [log] = world.do(owner, MINT, holder, URI, KEY)["logs"]
    to = f"0x{holder.rjust(32, bytes(1)).hex()}"
    assert log["topics"] == [TRANSFER, f"0x{bytes(32).hex()}", to, f"0x{KEY.hex()}"]
    world.do(owner, MINT, holder, "ipfs://second", OTHER_KEY)
    assert [world.ask("token_of(bytes32)", key, gives="uint256") for key in (KEY, OTHER_KEY, bytes(32))] == [1, 2, 0]
    assert world.ask("tokenURI(uint256)", 1, gives="string") == URI
    assert octets(world.ask("ownerOf(uint256)", 2, gives="address")) == holder
    assert world.ask("balanceOf(address)", holder, gives="uint256") == 2
    assert world.ask("totalSupply()", gives="uint256") == 2


def test_it_refuses_a_used_key_a_stranger_and_nobody(world: World) -> None:
    owner, stranger, *_ = world.evm.accounts
    world.do(owner, MINT, stranger, URI, KEY)
    with pytest.raises(RpcError, match=r"^execution reverted: mint key used$"):
        world.do(owner, MINT, stranger, URI, KEY)
    with pytest.raises(RpcError, match=r"^execution reverted: not a minter$"):
        world.do(stranger, MINT, stranger, URI, OTHER_KEY)
    with pytest.raises(RpcError, match=r"^execution reverted: zero recipient$"):
        world.do(owner, MINT, bytes(20), URI, OTHER_KEY)
    with pytest.raises(RpcError, match=r"^execution reverted: no such token$"):
        world.ask("tokenURI(uint256)", 2, gives="string")


def test_the_owner_says_who_may_mint(world: World) -> None:
    owner, minter, stranger, *_ = world.evm.accounts
    with pytest.raises(RpcError, match="not the owner"):
        world.do(minter, "set_minter(address,bool)", minter, True)
    world.do(owner, "set_minter(address,bool)", minter, True)
    world.do(minter, MINT, stranger, URI, KEY)
    world.do(owner, "set_minter(address,bool)", minter, False)
    with pytest.raises(RpcError, match="not a minter"):
        world.do(minter, MINT, stranger, URI, OTHER_KEY)
    world.do(owner, "transferOwnership(address)", stranger)
    assert octets(world.ask("owner()", gives="address")) == stranger


def test_tokens_move_only_by_their_owner_or_whom_it_approved(world: World) -> None:
    owner, holder, helper, *_ = world.evm.accounts
    move = "transferFrom(address,address,uint256)"
    world.do(owner, MINT, holder, URI, KEY)
    with pytest.raises(RpcError, match="not the token's owner or approved"):
        world.do(helper, move, holder, helper, 1)
    world.do(holder, "approve(address,uint256)", helper, 1)
    assert octets(world.ask("getApproved(uint256)", 1, gives="address")) == helper
    world.do(helper, move, holder, owner, 1)
    assert octets(world.ask("getApproved(uint256)", 1, gives="address")) == bytes(20)
    world.do(owner, "setApprovalForAll(address,bool)", helper, True)
    world.do(helper, move, owner, holder, 1)
    assert octets(world.ask("ownerOf(uint256)", 1, gives="address")) == holder
    assert [world.ask("balanceOf(address)", each, gives="uint256") for each in (owner, holder)] == [0, 1]
    with pytest.raises(RpcError, match="not the sender's token"):
        world.do(holder, move, owner, helper, 1)


@pytest.mark.parametrize(("answer", "takes"), [("0x150b7a02", True), ("0x00000000", False)])
def test_a_contract_gets_a_token_only_if_it_says_so(world: World, answer: str, *, takes: bool) -> None:
    owner = world.evm.accounts[0]
    source = RECEIVER.format(answer=answer)
    receiver = world.deploy(octets(compile_code(source, output_formats=["bytecode"])["bytecode"]))
    world.do(owner, MINT, owner, URI, KEY)
    if not takes:
        with pytest.raises(RpcError, match="the receiver takes no tokens"):
            world.do(owner, SAFE, owner, receiver, 1)
        return
    world.do(owner, SAFE, owner, receiver, 1)
    assert octets(world.ask("ownerOf(uint256)", 1, gives="address")) == receiver
