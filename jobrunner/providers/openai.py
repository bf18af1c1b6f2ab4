"""OpenAI images, and servers that speak the same: POST /images/generations (OpenAI API reference, Images).

One long request, no handle, no idempotency key, no seed: the answer carries the pictures in base64, and if it is
lost, nobody can say whether they were drawn and billed.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from jobrunner.errors import PermanentError
from jobrunner.media import sniff
from jobrunner.net import Net, save
from jobrunner.providers.answers import BadAnswer, Line, judged, parsed, unsupported
from jobrunner.providers.base64_spool import extract
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Finished, Poll
from jobrunner.settings import Provider
from jobrunner.work import Handle, ImageRequest, Intent, Money, Output, Plan, Request

BASE_URL = "https://api.openai.com/v1"
MAX_PROMPT = 32_000
MAX_PICTURES = 10
FIXED_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
LONG_SIDE, SHORT_SIDE = 3840, 2160
MAX_RATIO = 3
STEP = 16
BODY_BYTES = 512 * 1024 * 1024
KEPT = ("created", "size", "quality", "background", "output_format", "usage")


class OpenAI:
    name = "openai"
    capabilities = Capabilities(routes=frozenset({"image"}), handle=False)

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL)

    def prepare(self, model: str, request: Request) -> Plan:
        """The seed is dropped, since these models take none; the size becomes the nearest one they draw."""
        if not isinstance(request, ImageRequest):
            raise unsupported(self.name, "route", f"only images are spoken, not {request.route}")
        if request.references:
            raise unsupported(self.name, "references", "image generation takes none; edits are not spoken yet")
        if len(request.prompt) > MAX_PROMPT:
            raise unsupported(self.name, "prompt", f"at most {MAX_PROMPT:,} characters, not {len(request.prompt):,}")
        if not 1 <= request.n <= MAX_PICTURES:
            raise unsupported(self.name, "n", f"1 to {MAX_PICTURES} pictures a call, not {request.n}")
        body = {
            "model": model,
            "prompt": request.prompt,
            "n": request.n,
            "size": _size(model, request.size),
            "output_format": "png",
        }
        return Plan(self.name, model, "images/generations", body)

    async def submit(self, intent: Intent, desk: Desk) -> Finished:
        plan = intent.plan
        async with self._line.open("POST", plan.endpoint, body=dict(plan.body), create=True) as answer:
            body = await save(answer, desk.spool, max_bytes=BODY_BYTES)
            request_id = answer.headers.get("x-request-id")
            try:
                rest, pictures = await asyncio.to_thread(extract, body.path, desk.spool)
            finally:
                body.path.unlink(missing_ok=True)
            return self._finished(parsed(rest), pictures, request_id)

    async def poll(self, handle: Handle) -> Poll:
        raise PermanentError(
            f"openai gives no handle to ask for ({handle.id}).", code="unsupported", provider=self.name
        )

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:  # noqa: ARG002  # the Protocol's
        """Nothing to tell OpenAI: a caller that stops waiting drops the connection, and may still be billed."""
        return "unknown"

    async def find(self, intent: Intent, since: float) -> list[Handle]:  # noqa: ARG002  # the Protocol's
        """Nothing can be found again: the images API keeps no list."""
        return []

    async def aclose(self) -> None:
        await self._line.aclose()

    def _finished(self, answer: dict[str, Any], pictures: list[Path], request_id: str | None) -> Finished:
        error = answer.get("error")
        if error:  # compatible servers answer errors under HTTP 200, too
            said = error if isinstance(error, dict) else {"message": error}
            raise judged(self.name, said.get("message") or "", said.get("code") or said.get("type"), request_id)
        outputs = tuple(_outputs(answer.get("data"), pictures))
        if not outputs:
            raise BadAnswer("an answer without a picture")
        meta = {key: answer[key] for key in KEPT if key in answer} | {"request_id": request_id}
        return Finished(outputs, meta, _cost(answer.get("usage")))


def _outputs(data: Any, pictures: list[Path]) -> Iterator[Output]:
    """GPT image models answer base64 (emptied by `extract`); other servers that speak the same may give URLs."""
    spooled = iter(pictures)
    for item in data if isinstance(data, list) else ():
        if not isinstance(item, Mapping):
            continue
        path = next(spooled, None) if item.get("b64_json") == "" else None
        if path is not None:
            with path.open("rb") as file:
                yield Output("image", path=path, mime=sniff(file.read(16)))
        elif isinstance(item.get("url"), str):
            yield Output("image", url=item["url"])


def _cost(usage: Any) -> Money | None:
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return Money(Decimal(total), "tokens") if isinstance(total, int) else None


def _size(model: str, size: tuple[int, int] | None) -> str:
    """gpt-image-2 and later draw any size in steps of 16 up to 3840x2160; all others three sizes."""
    if size is None:
        return "auto"
    width, height = size
    generation = re.match(r"gpt-image-(\d+)", model)
    if generation is None or int(generation[1]) < 2:  # noqa: PLR2004  # gpt-image-1 and its kin
        width, height = min(FIXED_SIZES, key=lambda fixed: abs(fixed[0] / fixed[1] - width / height))
        return f"{width}x{height}"
    long, short = max(size), min(size)
    short = max(short, -(-long // MAX_RATIO))
    scale = min(1.0, LONG_SIDE / long, SHORT_SIDE / short)
    long, short = (max(STEP, round(side * scale / STEP) * STEP) for side in (long, short))
    short = max(short, -(-long // MAX_RATIO // STEP) * STEP)
    return f"{long}x{short}" if width >= height else f"{short}x{long}"
