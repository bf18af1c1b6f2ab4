"""/v1/artifacts: the files that jobs produced, by id and never by path."""

from pathlib import PurePath
from typing import Any

from aiohttp import ETag, hdrs, web

from jobrunner.api.intake import read_id
from jobrunner.runtime import Runtime

SHOWN_INLINE = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""Types that a browser may show on our origin; no markup, no script."""

_CACHE = "private, max-age=31536000, immutable"


class Artifacts:
    def __init__(self, runtime: Runtime) -> None:
        self._client = runtime.client
        self._files = runtime.artifacts

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/artifacts/{id}", self.serve)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        artifact = await self._client.artifact(read_id(request, "artifact"))
        path = self._files.path(artifact.key)
        if any(each.value in {artifact.sha256, "*"} for each in request.if_none_match or ()):
            return web.Response(status=304, headers={hdrs.ETAG: f'"{artifact.sha256}"', hdrs.CACHE_CONTROL: _CACHE})
        shown = "inline" if artifact.mime in SHOWN_INLINE else "attachment"
        name = f"{artifact.id}{PurePath(artifact.key).suffix}"
        headers: dict[str, str] = {
            hdrs.CONTENT_TYPE: artifact.mime,
            hdrs.CONTENT_DISPOSITION: f'{shown}; filename="{name}"',
            hdrs.CACHE_CONTROL: _CACHE,
        }
        return _HashedFile(path, artifact.sha256, headers=headers)


class _HashedFile(web.FileResponse):
    """aiohttp tags a file by its time and size, which a restored backup changes; the hash says what it is."""

    def __init__(self, path: Any, sha256: str, *, headers: dict[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._sha256 = sha256

    @property
    def etag(self) -> ETag | None:
        return ETag(self._sha256)

    @etag.setter
    def etag(self, _by_time: ETag | str | None) -> None:
        self.headers[hdrs.ETAG] = f'"{self._sha256}"'
