"""/v1/session: a key for a cookie, who is signed in, and no more."""

import time
from collections.abc import Iterable
from typing import Annotated

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from jobrunner.api import answers
from jobrunner.api.guard.door import EVERYBODY
from jobrunner.api.guard.keys import Keys
from jobrunner.api.guard.sessions import COOKIE, LASTS_S, Session, Sessions
from jobrunner.api.intake import read_json
from jobrunner.api.routes import Caller, Route
from jobrunner.api.shapes import answer, validated
from jobrunner.broker.limits import Spent, spend
from jobrunner.errors import TooManyRequests

_PATH = "/v1/session"
_WRONG_PER_MINUTE = 20
_ADDRESSES = 10_000
"""How many are remembered before those are forgotten that may try again at once."""


class Credentials(BaseModel):
    """The body of POST /v1/session."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: Annotated[str, Field(min_length=1, max_length=255)]


class SignIn:
    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        self._keys = keys
        self._sessions = sessions
        self._pace = _Pace()

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("POST", _PATH, self.begin, None, "Sign a browser in"),
            body=Credentials,
            answers={200: answers.Session},
            headers=("Set-Cookie",),
            problems=("unauthorized", "too_many_requests"),
        )
        yield Route(
            *("GET", _PATH, self.show, None, "Who is signed in"),
            answers={200: answers.Session},
            problems=("unauthorized",),
        )
        yield Route(
            *("DELETE", _PATH, self.end, None, "Sign a browser out"), answers={204: None}, headers=("Set-Cookie",)
        )

    async def begin(self, request: web.Request) -> web.Response:
        given = validated(Credentials, await read_json(request))
        if not self._keys:
            return self._shown(EVERYBODY)
        self._pace.check(request.remote)
        try:
            session = self._sessions.begin(given.key)
        except web.HTTPUnauthorized:
            self._pace.count(request.remote)
            raise
        response = self._shown(session.caller, session)
        _set_cookie(request, response, session.cookie, LASTS_S)
        return response

    async def show(self, request: web.Request) -> web.Response:
        """Nobody's session is an answer too: whoever opens the page has asked for nothing that is forbidden yet."""
        if not self._keys:
            return self._shown(EVERYBODY)
        if hdrs.AUTHORIZATION in request.headers:
            return self._shown(self._keys.caller(request))
        session = self._sessions.of(request)
        return self._shown(None if session is None else session.caller, session)

    async def end(self, request: web.Request) -> web.Response:
        response = web.Response(status=204)
        _set_cookie(request, response, "", 0)
        return response

    def _shown(self, caller: Caller | None, session: Session | None = None) -> web.Response:
        said = answers.Session(
            caller=None if caller is None else caller.name,
            scopes=[] if caller is None else sorted(caller.scopes),
            user_id=None if caller is None else caller.user_id,
            token=None if session is None else session.token,
            expires_at=None if session is None else session.expires_at,
            keys=bool(self._keys),
        )
        return answer(said.model_dump())


def _set_cookie(request: web.Request, response: web.Response, value: str, seconds: int) -> None:
    """Secure where the browser came by https. A proxy says so, or a liar, who harms nobody but its own cookie."""
    secure = "https" in {request.scheme, request.headers.get(hdrs.X_FORWARDED_PROTO, "").partition(",")[0].strip()}
    response.set_cookie(COOKIE, value, max_age=seconds, path="/", httponly=True, secure=secure, samesite="Strict")


class _Pace:
    """How often an address may name a wrong key, counted by this server alone: guessing is hopeless, and noisy."""

    def __init__(self) -> None:
        self._paid_us: dict[str | None, float] = {}

    def check(self, address: str | None) -> None:
        """Raises TooManyRequests, also for a right key: else it would be no pace."""
        spent, _ = self._spend(address)
        if not spent.allowed:
            raise TooManyRequests(
                f"Too many wrong keys came from your address. Try again in {spent.wait_s:.0f} s; who is signed in, and "
                "who sends a key with each request, is not held up.",
                retry_after_s=spent.wait_s,
            )

    def count(self, address: str | None) -> None:
        """Of one wrong key."""
        _, self._paid_us[address] = self._spend(address)
        if len(self._paid_us) > _ADDRESSES:
            now_us = _now_us()
            self._paid_us = {each: paid_us for each, paid_us in self._paid_us.items() if paid_us > now_us}

    def _spend(self, address: str | None) -> tuple[Spent, float]:
        return spend(self._paid_us.get(address, 0.0), _now_us(), _WRONG_PER_MINUTE)


def _now_us() -> float:
    return time.monotonic() * 1e6
