"""JSON-RPC over HTTP: one question, one answer (https://www.jsonrpc.org/specification, EIP-1474).

A hosted node's URL is its key: `https://node.example/v3/KEY`. So it stands in no message.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from yarl import URL

from jobrunner.errors import AttemptError, TransientError
from jobrunner.net import Net, retry_after_s
from jobrunner.providers.answers import BEARER, BadAnswer, Line, read_object, refusal
from jobrunner.providers.ethereum.refusals import refused
from jobrunner.settings.tables import Provider
from jobrunner.work import Output

LOCAL = "http://127.0.0.1:8545"
"""Where a node of one's own listens."""
HIDDEN = "**********"
_SECRET_CHARS = 8
"""Any part of the URL at least this long is taken for a key."""
_EXPLAINED = frozenset({400, 404, 422})
"""HTTP statuses under which some nodes send a JSON-RPC error; others speak for themselves."""


class Rpc:
    def __init__(self, net: Net, settings: Provider) -> None:
        """`api_key`, where it is set, is sent as a bearer token."""
        url = URL(settings.base_url or LOCAL)
        home = settings.model_copy(update={"base_url": str(url.origin())})
        headers = {} if settings.api_key is None else BEARER
        self._path = url.raw_path_qs.removeprefix("/")
        parts = [*url.parts, *url.raw_parts, *url.query.values()]
        self._secrets = [part for part in parts if len(part) >= _SECRET_CHARS]
        self._line = Line(net, home, provider="ethereum", base_url=LOCAL, headers=headers, refuse=_refusal)

    async def ask(self, method: str, *params: Any) -> Any:
        """The answer's `result`. Raises Refused for the node's own error; RateLimited, TransientError, PermanentError.

        A question whose answer was lost is transient, also where it sent a transaction: the same bytes may be sent
        again as often as you like.
        """
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with self._line.open("POST", self._path, body=body) as answer:
                said = await read_object(answer)
                wait_s = retry_after_s(answer.headers)
                if "result" not in said and not said.get("error"):
                    raise BadAnswer("an answer that is no JSON-RPC")
            if said.get("error"):
                raise refused(said["error"], wait_s)
        except AttemptError as error:
            error.args = (self._hiding(str(error)),)
            raise
        return said["result"]

    async def number(self, method: str, *params: Any) -> int:
        return quantity(await self.ask(method, *params))

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def aclose(self) -> None:
        await self._line.aclose()

    def _hiding(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def quantity(value: Any) -> int:
    """The number that `0x1f` says. Raises TransientError for what is none: a node that has not caught up yet."""
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        message = f"ethereum answers {str(value)[:50]!r} where a number belongs."
        raise TransientError(message, provider="ethereum") from None


def _refusal(provider: str, status: int, headers: Mapping[str, str], raw: bytes, *, create: bool) -> AttemptError:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if status in _EXPLAINED and isinstance(body, dict) and isinstance(body.get("error"), dict):
        return refused(body["error"], retry_after_s(headers))
    return refusal(provider, status, headers, raw, create=create)
