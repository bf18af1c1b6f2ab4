"""What browsers load of us: each page and file is named by its content, so that nobody is sent what they have."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from aiohttp import ETag, hdrs, web


@dataclass(frozen=True)
class Page:
    body: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


def shown(request: web.Request, page: Page, *, policy: str) -> web.Response:
    """The page under a Content-Security-Policy of its own; a 304 to who has it."""
    headers: dict[str, str] = {
        hdrs.ETAG: f'"{page.etag}"',
        hdrs.CACHE_CONTROL: "no-cache",
        "Content-Security-Policy": policy,
    }
    if any(each in (ETag(page.etag), ETag("*")) for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=page.body, content_type=page.media_type, charset="utf-8", headers=headers)
