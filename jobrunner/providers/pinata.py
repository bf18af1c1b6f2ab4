"""Pinata: files and JSON kept on IPFS (Pinata API v3, POST /files; its JavaScript SDK 2.5).

A file's address is made from its content, so the same bytes sent again are the same pin: that is the idempotency.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import ExitStack
from io import BytesIO
from typing import Any, BinaryIO

import aiohttp
import orjson

from jobrunner.errors import AttemptError, PermanentError
from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, read_object, refusal, unsupported
from jobrunner.providers.driver import Capabilities, Desk, Finished
from jobrunner.providers.one_request import OneRequest
from jobrunner.request import PinRequest, Request
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Intent, Plan, file_mark

BASE_URL = "https://uploads.pinata.cloud/v3"
API_URL = "https://api.pinata.cloud"
"""Beside the host that takes files, but below any other `base_url` (the sandbox, a proxy)."""
NETWORK = "public"
"""The only model: a private file has no address that others can read."""
KEPT = ("id", "name", "size", "mime_type", "is_duplicate")

_CID = re.compile(r"[A-Za-z0-9]{40,100}")


class Pinata(OneRequest):
    name = "pinata"
    capabilities = Capabilities(routes=frozenset({"pin"}), handle=False, idempotent=True)

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL, refuse=_refused)
        usual = settings.base_url in {None, BASE_URL}
        api = settings.model_copy(update={"base_url": API_URL}) if usual else settings
        self._api = Line(net, api, provider=self.name, base_url=API_URL)

    def prepare(self, model: str, request: Request) -> Plan:
        if not isinstance(request, PinRequest):
            raise unsupported(self.name, "route", f"files are pinned here, and not {request.route} made")
        if model != NETWORK:
            raise unsupported(self.name, "model", f"{model!r} is none; there is {NETWORK!r}")
        if isinstance(request.content, Artifact):
            body = {"name": request.name, "file": file_mark(request.content)}
            return Plan(self.name, model, "files", body, (request.content,))
        return Plan(self.name, model, "files", {"name": request.name, "json": request.content})

    async def submit(self, intent: Intent, desk: Desk) -> Finished:
        plan = intent.plan
        with ExitStack() as stack:
            content, mime = await _content(plan, desk, stack)
            form = aiohttp.FormData({"network": NETWORK, "name": plan.body["name"]})
            form.add_field("file", content, filename=plan.body["name"], content_type=mime)
            async with self._line.open("POST", plan.endpoint, data=form, create=True) as answer:
                return _finished((await read_object(answer)).get("data"))

    async def check_key(self) -> None:
        """Pinata has a question for just this (its API reference, Test Authentication)."""
        await self._api.ask("GET", "data/testAuthentication")

    async def aclose(self) -> None:
        await super().aclose()
        await self._api.aclose()


async def _content(plan: Plan, desk: Desk, stack: ExitStack) -> tuple[BinaryIO, str]:
    """What to send, and its type. JSON has its keys sorted, so that a retry gets the same address."""
    if plan.files:
        file = plan.files[0]
        return stack.enter_context(await asyncio.to_thread(desk.path_of(file).open, "rb")), file.mime
    return BytesIO(orjson.dumps(plan.body["json"], option=orjson.OPT_SORT_KEYS)), "application/json"


def _finished(data: Any) -> Finished:
    cid = str(data.get("cid")) if isinstance(data, Mapping) else ""
    if _CID.fullmatch(cid) is None:
        raise BadAnswer("a pinned file without an address")
    meta = {key: data[key] for key in KEPT if data.get(key) is not None}
    return Finished((), meta | {"cid": cid, "uri": f"ipfs://{cid}"})


def _refused(provider: str, status: int, headers: Mapping[str, str], raw: bytes, *, create: bool) -> AttemptError:
    """`refusal`, where a 403 is about the plan that was paid for: "Account blocked due to plan usage limit"."""
    error = refusal(provider, status, headers, raw, create=create)
    if status == 403 and "limit" in str(error):  # noqa: PLR2004
        return PermanentError(str(error), code="provider_quota", provider=provider, provider_code=error.provider_code)
    return error
