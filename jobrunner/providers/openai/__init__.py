"""OpenAI, and servers that speak the same: pictures, speech and text (OpenAI API reference; errors by its tables).

Each part is a module: what it prepares is found by the request's type, what it sends by the plan's endpoint, and
what it asks for again by the handle's id, whose first letters say what kind of thing it names.
No endpoint takes an idempotency key and none lists what was made, so a lost answer stays unknown.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.answers import Line, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Finished, Poll
from jobrunner.providers.openai import images, speech, text
from jobrunner.settings import Provider
from jobrunner.work import Handle, ImageEdit, ImageRequest, Intent, Output, Plan, Request, SpeechRequest, TextRequest

BASE_URL = "https://api.openai.com/v1"

_PREPARE: Mapping[type[Request], Callable[[str, Any], Plan]] = {
    ImageRequest: images.drawing,
    ImageEdit: images.editing,
    SpeechRequest: speech.speaking,
    TextRequest: text.writing,
}
_SUBMIT: Mapping[str, Callable[[Line, Plan, Desk], Awaitable[Handle | Finished]]] = {
    images.GENERATIONS: images.draw,
    images.EDITS: images.edit,
    speech.SPEECH: speech.speak,
    text.RESPONSES: text.respond,
    text.CHAT: text.chat,
}


class OpenAI:
    name = "openai"
    capabilities = Capabilities(
        routes=frozenset(kind.route for kind in _PREPARE),
        handle=False,
        endpoints={text.RESPONSES: Capabilities(routes=frozenset({TextRequest.route}), handle=True, cancel=True)},
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
        if not handle.id.startswith(text.ID_PREFIX):
            message = f"openai gives no handle such as {handle.id!r}; only background responses can be asked for again."
            raise PermanentError(message, code="unsupported", provider=self.name)
        return await text.poll(self._line, handle)

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """Responses are stopped. For all else a caller drops the connection, and may still be billed."""
        return await text.cancel(self._line, handle) if handle.id.startswith(text.ID_PREFIX) else "unknown"

    async def find(self, intent: Intent, since: float) -> list[Handle]:  # noqa: ARG002  # the Protocol's
        """Nothing can be found again: none of these endpoints keeps a list."""
        return []

    async def aclose(self) -> None:
        await self._line.aclose()
