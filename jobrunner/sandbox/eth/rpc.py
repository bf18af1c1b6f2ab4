"""JSON-RPC as Ethereum nodes speak it: quantities, data, and errors in geth's words.

https://ethereum.org/developers/docs/apis/json-rpc, https://eips.ethereum.org/EIPS/eip-1474
"""

from typing import Any, Final

import orjson
from aiohttp import web

SERVER_ERROR: Final = -32000
REVERTED: Final = 3
UNAUTHORIZED: Final = -32600
LIMITED: Final = -32005


class RpcError(Exception):
    """`status` is the HTTP status where the error is the whole answer; in a batch there is only one."""

    def __init__(self, code: int, message: str, data: str | None = None, *, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.status = code, message, data, status

    def answer(self, id: object = None) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": id, "error": error}

    def response(self) -> web.Response:
        return answered(self.answer(), status=self.status)


def answered(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def refused(message: str) -> RpcError:
    """What geth answers where it gives no code of its own."""
    return RpcError(SERVER_ERROR, message)


def invalid(position: int, message: str) -> RpcError:
    return RpcError(-32602, f"invalid argument {position}: {message}")


def quantity(value: int) -> str:
    return hex(value)


def data(value: bytes) -> str:
    return f"0x{value.hex()}"


def number(value: object, position: int = 0) -> int:
    """A quantity's value. Raises RpcError."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid(position, "json: cannot unmarshal non-string or hex string without 0x prefix into Go value")
    try:
        return int(value, 16)
    except ValueError:
        raise invalid(position, "invalid hex string") from None


def octets(value: object, position: int = 0, *, length: int | None = None) -> bytes:
    """What `data` encodes. Raises RpcError, also for another `length` in bytes."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid(position, "json: cannot unmarshal hex string without 0x prefix into Go value")
    try:
        found = bytes.fromhex(value[2:])
    except ValueError:
        raise invalid(position, "json: cannot unmarshal invalid hex string into Go value") from None
    if length is not None and len(found) != length:
        raise invalid(position, f"hex string has length {2 * len(found)}, want {2 * length}")
    return found
