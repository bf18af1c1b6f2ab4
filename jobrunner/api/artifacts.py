"""/v1/artifacts: the files that jobs produced and people uploaded, by id and never by path."""

import asyncio
import tempfile
from pathlib import Path, PurePath
from typing import Any

from aiohttp import ETag, hdrs, web

from jobrunner.api.intake import check_uncompressed, read_id, read_query, save_body
from jobrunner.api.problems import problem
from jobrunner.api.shapes import Upload, answer, validated
from jobrunner.errors import PermanentError
from jobrunner.job import artifact_json
from jobrunner.media import sniff
from jobrunner.runtime import Runtime
from jobrunner.store.keeping import keep

SHOWN_INLINE = frozenset(
    {
        *("image/png", "image/jpeg", "image/webp", "image/gif"),
        *("video/mp4", "video/quicktime", "video/webm", "video/ogg"),
        *("audio/mp4", "audio/webm", "audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/aac"),
    }
)
"""Types that a browser may show on our origin; no markup, no script."""

_PLAYABLE = "default-src 'none'; media-src 'self'; frame-ancestors 'none'"
"""A browser that opens a clip wraps it in a page of its own, and asks this policy whether that may load it."""

_CACHE = "private, max-age=31536000, immutable"


class Artifacts:
    def __init__(self, runtime: Runtime) -> None:
        self._client = runtime.client
        self._files = runtime.artifacts
        self._spool = runtime.settings.directory / "spool"
        self._max_bytes = runtime.settings.http.max_upload_bytes

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/artifacts", self.upload)
        app.router.add_get("/v1/artifacts/{id}", self.serve)

    async def upload(self, request: web.Request) -> web.Response:
        asked = validated(Upload, read_query(request))
        check_uncompressed(request)
        await asyncio.to_thread(self._spool.mkdir, parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="upload-", dir=self._spool) as directory:
            path = Path(directory, "body")
            await save_body(request, path, max_bytes=self._max_bytes)
            try:
                artifact = await keep(path, self._files, user_id=asked.user_id)
            except PermanentError as error:
                return _refusal(error, path)
        try:
            await self._client.keep_upload(artifact)
        except BaseException:
            self._files.path(artifact.key).unlink()  # no row names it
            raise
        return answer(artifact_json(artifact), status=201, headers={hdrs.LOCATION: artifact.url})

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
        if artifact.kind != "image":
            headers["Content-Security-Policy"] = _PLAYABLE
        return _HashedFile(path, artifact.sha256, headers=headers)


def _refusal(error: PermanentError, path: Path) -> web.Response:
    """415 for what is no picture, clip or sound that we keep; 422 for one that is damaged, cut or out of bounds."""
    with path.open("rb") as file:
        known = sniff(file.read(16)) is not None
    hint = "" if known else " Send the file itself as the body: curl --data-binary @clip.mp4."
    return problem(422 if known else 415, error.code, f"{error}{hint}")


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
