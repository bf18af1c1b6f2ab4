# pragma version ==0.4.3
# pragma evm-version paris
"""
@title An NFT collection that mints once a key
@license MIT
@notice ERC-721 with its metadata extension. Each token is minted under a key of the minter's choice, and a used key
        is refused, so that a minter who lost an answer may ask again and never owns two tokens for one order.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    token_id: indexed(uint256)

event Approval:
    owner: indexed(address)
    approved: indexed(address)
    token_id: indexed(uint256)

event ApprovalForAll:
    owner: indexed(address)
    operator: indexed(address)
    approved: bool

event MinterSet:
    minter: indexed(address)
    allowed: bool

event OwnershipTransferred:
    previous: indexed(address)
    owner: indexed(address)

interface Receiver:
    def onERC721Received(operator: address, sender: address, token_id: uint256, data: Bytes[1024]) -> bytes4: nonpayable

ERC165: constant(bytes4) = 0x01ffc9a7
ERC721: constant(bytes4) = 0x80ac58cd
ERC721_METADATA: constant(bytes4) = 0x5b5e139f
RECEIVED: constant(bytes4) = 0x150b7a02

name: public(String[64])
symbol: public(String[16])
owner: public(address)
minters: public(HashMap[address, bool])
totalSupply: public(uint256)
token_of: public(HashMap[bytes32, uint256])

owners: HashMap[uint256, address]
balances: HashMap[address, uint256]
uris: HashMap[uint256, String[512]]
approved: HashMap[uint256, address]
operators: HashMap[address, HashMap[address, bool]]


@deploy
def __init__(name: String[64], symbol: String[16]):
    self.name = name
    self.symbol = symbol
    self.owner = msg.sender
    self.minters[msg.sender] = True
    log OwnershipTransferred(previous=empty(address), owner=msg.sender)
    log MinterSet(minter=msg.sender, allowed=True)


@external
def mint(to: address, uri: String[512], key: bytes32) -> uint256:
    """
    @notice Tokens are numbered 1, 2, 3 in the order of their minting.
    """
    assert self.minters[msg.sender], "not a minter"
    assert to != empty(address), "zero recipient"
    assert self.token_of[key] == 0, "mint key used"
    self.totalSupply += 1
    token_id: uint256 = self.totalSupply
    self.token_of[key] = token_id
    self.uris[token_id] = uri
    self.owners[token_id] = to
    self.balances[to] += 1
    log Transfer(sender=empty(address), receiver=to, token_id=token_id)
    return token_id


@external
def set_minter(minter: address, allowed: bool):
    assert msg.sender == self.owner, "not the owner"
    self.minters[minter] = allowed
    log MinterSet(minter=minter, allowed=allowed)


@external
def transferOwnership(owner: address):
    assert msg.sender == self.owner, "not the owner"
    assert owner != empty(address), "zero owner"
    log OwnershipTransferred(previous=self.owner, owner=owner)
    self.owner = owner


@view
@external
def supportsInterface(interface_id: bytes4) -> bool:
    return interface_id in [ERC165, ERC721, ERC721_METADATA]


@view
@external
def tokenURI(token_id: uint256) -> String[512]:
    self._owner_of(token_id)
    return self.uris[token_id]


@view
@external
def ownerOf(token_id: uint256) -> address:
    return self._owner_of(token_id)


@view
@external
def balanceOf(owner: address) -> uint256:
    assert owner != empty(address), "zero owner"
    return self.balances[owner]


@view
@external
def getApproved(token_id: uint256) -> address:
    self._owner_of(token_id)
    return self.approved[token_id]


@view
@external
def isApprovedForAll(owner: address, operator: address) -> bool:
    return self.operators[owner][operator]


@external
@payable
def approve(approved: address, token_id: uint256):
    owner: address = self._owner_of(token_id)
    assert msg.sender == owner or self.operators[owner][msg.sender], "not the token's owner or operator"
    self.approved[token_id] = approved
    log Approval(owner=owner, approved=approved, token_id=token_id)


@external
def setApprovalForAll(operator: address, approved: bool):
    self.operators[msg.sender][operator] = approved
    log ApprovalForAll(owner=msg.sender, operator=operator, approved=approved)


@external
@payable
def transferFrom(sender: address, receiver: address, token_id: uint256):
    self._transfer(sender, receiver, token_id)


@external
@payable
def safeTransferFrom(sender: address, receiver: address, token_id: uint256, data: Bytes[1024] = b""):
    self._transfer(sender, receiver, token_id)
    if receiver.is_contract:
        answer: bytes4 = extcall Receiver(receiver).onERC721Received(msg.sender, sender, token_id, data)
        assert answer == RECEIVED, "the receiver takes no tokens"


@internal
def _transfer(sender: address, receiver: address, token_id: uint256):
    owner: address = self._owner_of(token_id)
    assert owner == sender, "not the sender's token"
    assert receiver != empty(address), "zero recipient"
    allowed: bool = msg.sender == owner or msg.sender == self.approved[token_id] or self.operators[owner][msg.sender]
    assert allowed, "not the token's owner or approved"
    self.approved[token_id] = empty(address)
    self.balances[owner] -= 1
    self.balances[receiver] += 1
    self.owners[token_id] = receiver
    log Transfer(sender=sender, receiver=receiver, token_id=token_id)


@view
@internal
def _owner_of(token_id: uint256) -> address:
    owner: address = self.owners[token_id]
    assert owner != empty(address), "no such token"
    return owner
