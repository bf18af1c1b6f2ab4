"""/v1/artifacts: the files that jobs produced and people uploaded, by id and never by path."""

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

from aiohttp import ETag, hdrs, web

from jobrunner import shown
from jobrunner.api import answers
from jobrunner.api.guard.ownership import owner
from jobrunner.api.guard.signed_urls import SIGNATURE, SignedUrls, Signing
from jobrunner.api.intake import check_uncompressed, read_id, read_query, save_body
from jobrunner.api.problems import problem
from jobrunner.api.routes import Route, caller_of
from jobrunner.api.shapes import Upload, answer, validated
from jobrunner.errors import NotFound, PermanentError
from jobrunner.job import artifact_json
from jobrunner.media import sniff
from jobrunner.runtime import Runtime
from jobrunner.work import Artifact

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
    def __init__(self, runtime: Runtime, urls: SignedUrls) -> None:
        self._client = runtime.client
        self._files = runtime.artifacts
        self._urls = urls
        self._uploads = runtime.local.uploads
        self._max_bytes = runtime.settings.http.max_upload_bytes

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("POST", "/v1/artifacts", self.upload, "submit", "Upload a picture, clip or sound"),
            query=Upload,
            body="*/*",
            answers={201: shown.Artifact},
            headers=("Location",),
            problems=("media_invalid",),
        )
        yield Route(
            *("GET", "/v1/artifacts/{id}", self.serve, "read", "Download a file"),
            answers={200: "*/*", 206: "*/*", 304: None},
            headers=("Range", "If-None-Match", "ETag", "Accept-Ranges", "Content-Range", "Content-Disposition"),
            problems=("requested_range_not_satisfiable", "signature_invalid", "url_expired", "signed_urls_off"),
        )
        yield Route(
            *("POST", "/v1/artifacts/{id}/url", self.sign, "read", "Make a URL that downloads a file without a key"),
            query=Signing,
            answers={200: answers.SignedUrl},
            problems=("signed_urls_off",),
        )

    async def upload(self, request: web.Request) -> web.Response:
        user_id = owner(caller_of(request), validated(Upload, read_query(request)).user_id)
        check_uncompressed(request)
        async with self._uploads.spooled() as path:
            await save_body(request, path, max_bytes=self._max_bytes)
            try:
                artifact = await self._uploads.take(path, user_id=user_id)
            except PermanentError as error:
                return _refusal(error, path)
        return answer(artifact_json(artifact), status=201, headers={hdrs.LOCATION: artifact.url})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        artifact = await self._seen(request)
        path = self._files.path(artifact.key)
        if any(each.value in {artifact.sha256, "*"} for each in request.if_none_match or ()):
            return web.Response(status=304, headers={hdrs.ETAG: f'"{artifact.sha256}"', hdrs.CACHE_CONTROL: _CACHE})
        _check_range(request, artifact.size_bytes)
        disposition = "inline" if artifact.mime in SHOWN_INLINE else "attachment"
        name = f"{artifact.id}{PurePath(artifact.key).suffix}"
        headers: dict[str, str] = {
            hdrs.CONTENT_TYPE: artifact.mime,
            hdrs.CONTENT_DISPOSITION: f'{disposition}; filename="{name}"',
            hdrs.CACHE_CONTROL: _CACHE,
        }
        if artifact.kind != "image":
            headers["Content-Security-Policy"] = _PLAYABLE
        if SIGNATURE in request.query:
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # it was made to be given away, and shown
        return _HashedFile(path, artifact.sha256, headers=headers)

    async def sign(self, request: web.Request) -> web.Response:
        asked = validated(Signing, read_query(request))
        url, expires_at = self._urls.sign((await self._seen(request)).url, asked.expires_s)
        return answer({"url": url, "expires_at": expires_at})

    async def _seen(self, request: web.Request) -> Artifact:
        """The path's artifact, if its caller may see it. Raises NotFound, Unavailable."""
        artifact = await self._client.artifact(read_id(request, "artifact"))
        if not caller_of(request).sees(artifact.user_id):
            raise NotFound(f"There is no artifact {artifact.id}.")
        return artifact


def _refusal(error: PermanentError, path: Path) -> web.Response:
    """415 for what is no picture, clip or sound that we keep; 422 for one that is damaged, cut or out of bounds."""
    with path.open("rb") as file:
        known = sniff(file.read(16)) is not None
    hint = "" if known else " Send the file itself as the body: curl --data-binary @clip.mp4."
    return problem(422 if known else 415, error.code, f"{error}{hint}")


def _check_range(request: web.Request, size_bytes: int) -> None:
    """Raises aiohttp's 416, also for several ranges: as a FileResponse answers it, it is no problem document."""
    try:
        satisfiable = (request.http_range.start or 0) < size_bytes
    except ValueError:
        satisfiable = False
    if not satisfiable:
        raise web.HTTPRequestRangeNotSatisfiable(headers={hdrs.CONTENT_RANGE: f"bytes */{size_bytes}"})


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
