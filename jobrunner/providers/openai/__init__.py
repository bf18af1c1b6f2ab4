"""OpenAI, and servers that speak the same: pictures, videos, speech, text (OpenAI API reference; errors by its tables).

Each part is a module: what it prepares is found by the request's type, what it sends by the plan's endpoint, and
what it asks for again by the handle's id, whose first letters say what kind of thing it names.
No endpoint takes an idempotency key and only the videos are listed: any other lost answer stays unknown.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.answers import Line, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Finished, Listed, Poll
from jobrunner.providers.openai import images, speech, text, videos
from jobrunner.request import ImageEdit, ImageRequest, Request, SpeechRequest, TextRequest, VideoRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Output, Plan

BASE_URL = "https://api.openai.com/v1"

_PREPARE: Mapping[type[Request], Callable[[str, Any], Plan]] = {
    ImageRequest: images.drawing,
    ImageEdit: images.editing,
    SpeechRequest: speech.speaking,
    TextRequest: text.writing,
    VideoRequest: videos.filming,
}
_SUBMIT: Mapping[str, Callable[[Line, Plan, Desk], Awaitable[Handle | Finished]]] = {
    images.GENERATIONS: images.draw,
    images.EDITS: images.edit,
    speech.SPEECH: speech.speak,
    text.RESPONSES: text.respond,
    text.CHAT: text.chat,
    videos.VIDEOS: videos.film,
}
_POLL: Mapping[str, Callable[[Line, Handle], Awaitable[Poll]]] = {
    text.ID_PREFIX: text.poll,
    videos.PREFIX: videos.poll,
}
_CANCEL: Mapping[str, Callable[[Line, Handle], Awaitable[CancelAnswer]]] = {
    text.ID_PREFIX: text.cancel,
    videos.PREFIX: videos.cancel,
}
_Verb = TypeVar("_Verb")


class OpenAI:
    name = "openai"
    capabilities = Capabilities(
        routes=frozenset(kind.route for kind in _PREPARE),
        handle=False,
        endpoints={
            text.RESPONSES: Capabilities(routes=frozenset({TextRequest.route}), handle=True, cancel=True),
            videos.VIDEOS: Capabilities(routes=frozenset({VideoRequest.route}), handle=True, lists=True),
        },
    )

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL)

    def prepare(self, model: str, request: Request) -> Plan:
        prepare = _PREPARE.get(type(request))
        if prepare is None:
            spoken = ", ".join(sorted(self.capabilities.routes))
            raise unsupported(self.name, "route", f"{request.route} is not among what is spoken ({spoken})")
        return prepare(model, request)

    async def submit(self, intent: Intent, desk: Desk) -> Handle | Finished:
        return await _SUBMIT[intent.plan.endpoint](self._line, intent.plan, desk)

    async def poll(self, handle: Handle) -> Poll:
        poll = _by_id(_POLL, handle)
        if poll is None:
            message = f"openai gives no handle such as {handle.id!r}; only responses and videos can be asked for again."
            raise PermanentError(message, code="unsupported", provider=self.name)
        return await poll(self._line, handle)

    async def fetch(self, output: Output, spool: Path) -> Path:
        if (output.url or "").startswith(videos.PREFIX):
            return await videos.fetch(self._line, output, spool)
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """Responses are stopped. For all else a caller drops the connection, and may still be billed."""
        cancel = _by_id(_CANCEL, handle)
        return "unknown" if cancel is None else await cancel(self._line, handle)

    async def listed(self, since: float) -> list[Listed]:
        """Only videos can be found again: no other endpoint keeps a list."""
        return await videos.listed(self._line, since)

    async def aclose(self) -> None:
        await self._line.aclose()


def _by_id(verbs: Mapping[str, _Verb], handle: Handle) -> _Verb | None:
    return next((verb for prefix, verb in verbs.items() if handle.id.startswith(prefix)), None)
