"""/v1/hooks: where providers call. What they say is a hint to poll, passed on to whichever worker has the job."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from uuid import UUID

from aiohttp import web

from jobrunner.api.intake import check_uncompressed, read_body
from jobrunner.api.routes import Route
from jobrunner.broker.stream import HOOKED
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.providers.hooks import PATH, PROJECT, remote_id
from jobrunner.runtime import Runtime

_KNOWN_S = 3 * 86_400.0
"""Providers repeat a call for hours."""


class Hooks:
    def __init__(self, runtime: Runtime) -> None:
        self._hooks = runtime.hooks
        self._store = runtime.store
        self._notices = runtime.notices

    def routes(self) -> Iterable[Route]:
        path = f"{PATH}/{{provider}}/{{token}}"
        yield Route(
            *("POST", path, self.hear, None, "Where providers call; its path is sealed, its body signed"),
            body="*/*",
            answers={204: None},
            problems=("unauthorized", "unavailable"),
        )

    async def hear(self, request: web.Request) -> web.Response:
        """404 for a URL that we never gave away, 401 for a call that the provider did not send; else 204."""
        provider, token = request.match_info["provider"], request.match_info["token"]
        job_id = self._hooks.job_of(provider, token)
        if job_id is None and (token != PROJECT or not self._hooks.calls(provider)):
            raise web.HTTPNotFound
        check_uncompressed(request)
        raw = await read_body(request)
        if not await self._hooks.verify(provider, request.headers, raw):
            raise web.HTTPUnauthorized(text=f"This is not signed by {provider}, or was signed minutes ago.")
        ids = [job_id] if job_id is not None else await self._of_project(provider, raw)
        said = request.headers.get("webhook-id", "").encode(errors="replace") or raw
        await self._pass_on(hashlib.sha256(b"%b %b " % (provider.encode(), token.encode()) + said).hexdigest(), ids)
        return web.Response(status=204)

    async def _of_project(self, provider: str, raw: bytes) -> Sequence[UUID]:
        id = remote_id(raw)
        return [] if id is None else await self._store.jobs_of_remote(provider, id)

    async def _pass_on(self, call: str, ids: Sequence[UUID]) -> None:
        """Once for each call. Where Redis is away the polls will have to do."""
        try:
            if await self._notices.first(call, _KNOWN_S):
                await self._notices.send(HOOKED, ids)
        except Unavailable as error:
            emit("hook.untold", logging.WARNING, error=str(error))
