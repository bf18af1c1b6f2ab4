"""The node's HTTP side: JSON-RPC at `/eth`, single and in batches, with the key as hosted nodes want it, or none.

A key is `Authorization: Bearer test-key` or the last part of the path, `/eth/test-key`; on loopback none is needed.
Unlocked and funded accounts are in `jobrunner.sandbox.eth.accounts`, and so is the contract that block 1 deploys.

What the fault words of the chain do to a transaction, be it by rule, by header, or by `[word]` in its calldata:

| word | |
|---|---|
| stuck | it stays in the pool until another with its nonce and both fees 10 % higher takes its place |
| drop | its hash is answered, and it is forgotten |
| reorg | its block is replaced by two empty ones, and it is mined once more |
| slow | it is not mined for 30 s |
| fail, moderation | refused |

The words `quota`, 429, 500, 503, `hang`, `reset` and the like are about the exchange, as everywhere.
"""

import ipaddress
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox.eth.chain import NAME, Chain, Exchange
from jobrunner.sandbox.eth.methods import CREATES, Methods
from jobrunner.sandbox.eth.rpc import LIMITED, UNAUTHORIZED, RpcError, answered
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, WORD
from jobrunner.sandbox.state import State

API_KEY: Final = "test-key"
REFUSALS: Final = {
    "429": RpcError(LIMITED, "limit exceeded", status=429),
    "quota": RpcError(LIMITED, "daily request count exceeded, request rate limited", status=402),
    "503": RpcError(-32603, "service unavailable", status=503),
    "500": RpcError(-32603, "internal error", status=500),
}


class Ethereum:
    name = NAME
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state
        self._chain = Chain(state)
        self._methods = Methods(state, self._chain)
        guard = state.faults.guard
        self._create, self._poll = guard(self, "create", self.serve), guard(self, "poll", self.serve)

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application()
        app.on_shutdown.append(lambda _app: self._chain.aclose())  # before the database is closed
        app.add_routes([web.post(path, self.receive) for path in ("", "/", "/{key}")])
        return app

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """A transaction is a create, whatever else comes with it in a batch; all the rest is a poll."""
        if not _may_enter(request):
            return RpcError(UNAUTHORIZED, "Must be authenticated!", status=401).response()
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return RpcError(-32700, "parse error", status=400).response()
        calls = body if isinstance(body, list) else [body]
        creates = any(isinstance(call, dict) and call.get("method") in CREATES for call in calls)
        return await (self._create if creates else self._poll)(request)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body, exchange = orjson.loads(await request.read()), Exchange(request[WORD])
        try:
            await self._chain.open()
        except ImportError as error:
            message = f"the sandbox's chain needs {error.name}: install jobrunner[local]"
            return RpcError(-32603, message, status=500).response()
        if body == []:
            return RpcError(-32600, "empty batch").response()
        if isinstance(body, list):
            response = answered([(await self._answer(call, exchange))[0] for call in body])
        else:
            answer, status = await self._answer(body, exchange)
            response = answered(answer, status=status)
        if exchange.delivery in DELIVERED:
            request[DELIVERY] = exchange.delivery
        return response

    async def _answer(self, call: object, exchange: Exchange) -> tuple[dict[str, Any], int]:
        """The answer's body, and the HTTP status if it is the only one."""
        asked = call if isinstance(call, dict) else {}
        id, method, params = asked.get("id"), asked.get("method"), asked.get("params", [])
        if not isinstance(method, str) or not isinstance(params, list):
            return RpcError(-32600, "invalid request").answer(id), 200
        try:
            return {"jsonrpc": "2.0", "id": id, "result": await self._methods.answer(method, params, exchange)}, 200
        except RpcError as error:
            return error.answer(id), error.status


def _may_enter(request: web.Request) -> bool:
    key = request.match_info.get("key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not key:
        return ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback
    return key == API_KEY
