"""What the sandbox's chain itself says, past all that jobrunner believes of it."""

from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from jobrunner.providers.ethereum.abi import WORD, types_of
from jobrunner.providers.ethereum.chain import TRANSFER
from jobrunner.runtime import SANDBOX_MINT
from jobrunner.sandbox.eth.chain import NAME

CHAIN: Final = NAME
"""Its word in the sandbox's faults and purchases."""

_NOBODY = f"0x{0:064x}"
_KEY_AT = 4 + WORD * types_of(SANDBOX_MINT["function"]).index("bytes32")
"""Where a mint's calldata has its key: behind the selector, at a word an argument."""


@dataclass(frozen=True)
class Chain:
    """`url` is its node's; `contract` the collection whose tokens count."""

    url: str
    contract: str

    async def ask(self, method: str, *params: Any) -> Any:
        """The `result` that a JSON-RPC method has."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with aiohttp.ClientSession() as http, http.post(self.url, json=body) as answer:
            said = await answer.json()
            assert "error" not in said, said
            return said["result"]

    async def head(self) -> int:
        """The newest block's number."""
        return int(await self.ask("eth_blockNumber"), 16)

    async def tokens(self) -> list[tuple[str, str]]:
        """(mint key as 64 hex digits, token id as a decimal string) of all that were minted, oldest first.

        The key is read from the calldata: `token_of` could not tell of a key that has two tokens.
        """
        wanted = {"address": self.contract, "topics": [TRANSFER, _NOBODY], "fromBlock": "0x0"}
        logs = await self.ask("eth_getLogs", wanted)
        return [(await self._key(log["transactionHash"]), str(int(log["topics"][3], 16))) for log in logs]

    async def _key(self, transaction: str) -> str:
        calldata = bytes.fromhex((await self.ask("eth_getTransactionByHash", transaction))["input"][2:])
        return calldata[_KEY_AT : _KEY_AT + WORD].hex()
