"""What the providers that sell work to be polled share: error answers, JSON bodies, and the sale itself."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger, takes
from jobrunner.sandbox.faults import DELIVERY, WORD, refuse, word_in
from jobrunner.sandbox.state import State
from jobrunner.sandbox.takes import Take


class Refusal(Exception):
    """An answer that is an error, in the provider's own words."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status, self.body = status, body

    def response(self) -> web.Response:
        return answer(self.body, status=self.status)


class Refused(Exception):
    """The answer that is given instead of a sale."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


Explain = Callable[[int, str], Refusal]
"""The provider's error for a status and a text."""


def answer(body: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def answering(authenticate: Callable[[web.Request], None], explain: Explain) -> Any:
    """The middleware of an app whose every error is the provider's own; `authenticate` raises Refusal."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            authenticate(request)
            return await handler(request)
        except Refusal as refusal:
            return refusal.response()
        except Refused as refused:
            return refused.response
        except web.HTTPException as error:
            return explain(error.status, error.text or error.reason).response()

    return middleware


async def read_object(request: web.Request, explain: Explain) -> dict[str, Any]:
    """The JSON object that a body is. Raises what `explain` makes of a 400."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise explain(400, f"The request body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise explain(400, "The request body must be an object")
    return body


class Shop:
    """A provider that sells takes. A subclass says its `name`, and its `refusals` for each of the words REFUSED."""

    name: str
    refusals: Mapping[str, Refusal]

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def speed(self) -> float:
        return self._state.speed

    @contextlib.contextmanager
    def sale(self, request: web.Request, body: Mapping[str, Any], *, text: str, price_usd: float) -> Iterator[Take]:
        """A new take and its purchase, kept together with what the block writes. Raises Refused if a fault word asks.

        The fault word is the exchange's own, or the first in `text`.
        """
        digest, fate = ledger.body_sha256(body), request[WORD] or word_in(text)
        if self._state.faults.refuses(fate, digest):
            raise Refused(refuse(self.refusals, fate))
        made = takes.plan(self.name, body, text=text, fate=fate, now=time.time(), speed=self.speed)
        with self._state.transaction() as db:
            takes.insert(db, made)
            ledger.record(db, ledger.Purchase(self.name, made.id, digest, text, made.created_at, price_usd))
            yield made
        if fate == "reset":
            request[DELIVERY] = fate

    def found(self, id: str, missing: Refusal) -> Take:
        """Raises `missing`."""
        take = takes.get(self._state.db, self.name, id)
        if take is None:
            raise missing
        return take

    def delivered(self, request: web.Request, missing: Refusal) -> Take:
        """The take whose file is asked for, as `id` of the path: if it was made, and its fate leaves it there."""
        take, now = self.found(request.match_info["id"], missing), time.time()
        if "expire" in (take.fate, request[WORD]):
            takes.delete(self._state.db, take.id, now)
            raise missing
        if take.phase(now) != "made":
            raise missing
        request[DELIVERY] = take.fate
        return take
