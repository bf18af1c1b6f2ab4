"""POST /images/generations and /images/edits: one long request that answers with base64. Not spoken: `stream: true`."""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, SLOW_S
from jobrunner.sandbox.openai import protocol
from jobrunner.sandbox.openai.protocol import REQUEST_ID, ApiError, invalid
from jobrunner.sandbox.state import State

DRAW_S: Final = 1.0
MAX_PICTURES: Final = 10
MAX_INPUTS: Final = 16
MAX_PROMPT_CHARS: Final = 32_000
MAX_SIDES: Final = (2160, 3840)
AUTO_SIDE: Final = 1536
PRICE_USD: Final = 0.04
FIXED_SIZES: Final = ("1024x1024", "1536x1024", "1024x1536", "auto")
MODELS: Final = {"gpt-image-1-mini": FIXED_SIZES, "gpt-image-1.5": FIXED_SIZES} | dict.fromkeys(
    ("gpt-image-2", "gpt-image-2.5-sunburst", "gpt-image-2.5-flare"), ()
)
"""The sizes of each model; none listed: any that the newer rule allows."""
TOKENS: Final = {"low": 272, "medium": 1056, "high": 4160, "xhigh": 6240, "max": 8320}
"""Output tokens of a 1024x1024 picture by quality."""
CHOICES: Final = {
    "quality": ("auto", *TOKENS),
    "output_format": ("png", "jpeg", "webp"),
    "background": ("auto", "opaque", "transparent"),
    "moderation": ("auto", "low"),
    "input_fidelity": ("low", "high"),
    "stream": (None, False),
}
PLAIN: Final = frozenset(
    {"prompt", "model", "n", "size", "output_compression", "partial_images", "user", "safety_identifier"}
)
KNOWN: Final = frozenset({*PLAIN, *CHOICES}) - {"input_fidelity"}
KNOWN_OF_EDITS: Final = frozenset({*PLAIN, *CHOICES}) - {"moderation"}
TYPE: Final = "image_generation_user_error"

Drawing = Coroutine[Any, Any, bytes]


class Images:
    def __init__(self, state: State) -> None:
        self._state = state

    async def generate(self, request: web.Request) -> web.Response:
        body = _checked(await protocol.read_json(request, KNOWN))
        size, format = _size(body, (1024, 1024)), body.get("output_format") or "png"

        def draw(seed: int) -> Drawing:
            return self._state.studio.picture(body["prompt"], seed=seed, size=size, format=format)

        return await self._made(request, body, ledger.body_sha256(body), size, draw)

    async def edit(self, request: web.Request) -> web.Response:
        body, files = await protocol.read_form(request)
        protocol.check_names(body, KNOWN_OF_EDITS)
        pictures, mask = _inputs(files)
        _checked(body)
        given = await self._measured("image", pictures[0])
        if mask is not None and await self._measured("mask", mask) != given:
            raise invalid("mask", "Invalid mask image: it must have the same size as the image.")
        size, format = _size(body, given), body.get("output_format") or "png"

        def draw(seed: int) -> Drawing:
            return self._state.studio.edited(pictures, mask, body["prompt"], seed=seed, size=size, format=format)

        digest = ledger.body_sha256(body | {"files": [ledger.sha256(each) for each in (*pictures, mask or b"")]})
        return await self._made(request, body, digest, size, draw)

    async def _measured(self, name: str, picture: bytes) -> tuple[int, int]:
        try:
            return await self._state.studio.measured(picture)
        except OSError:
            raise invalid(name, "Invalid image file or mode.", code="invalid_image_file") from None

    async def _made(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        digest: str,
        size: tuple[int, int],
        draw: Callable[[int], Drawing],
    ) -> web.Response:
        """Sell and draw what `body` orders, each picture from a seed of its own; or refuse it."""
        prompt, number, seed = body["prompt"], body.get("n") or 1, int(digest[:8], 16)
        word = protocol.fate_of(self._state, request, prompt, digest)
        if word in ("moderation", "fail"):
            raise protocol.rejected(word, TYPE)
        protocol.sell(self._state, request[REQUEST_ID], digest, prompt, PRICE_USD * number)
        if word in DELIVERED:
            request[DELIVERY] = word
        wait_s = (SLOW_S if word == "slow" else DRAW_S) / self._state.speed
        drawings = [draw(seed + index) for index in range(number)]
        pictures, _ = await asyncio.gather(asyncio.gather(*drawings), asyncio.sleep(wait_s))
        return protocol.answered(_answer(body, size, pictures))


def _inputs(files: protocol.Parts) -> tuple[list[bytes], bytes | None]:
    """One picture is the part `image`, several are `image[]`; the mask is `mask`."""
    pictures = [*files.get("image", ()), *files.get("image[]", ())]
    if not pictures:
        raise invalid("image", "Missing required parameter: 'image'.", code="missing_required_parameter")
    if len(pictures) > MAX_INPUTS or len(files.get("image", ())) > 1:
        raise invalid("image", f"Invalid 'image': up to {MAX_INPUTS} pictures, as parts named 'image[]'.")
    return pictures, next(iter(files.get("mask", ())), None)


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    protocol.check_text("prompt", body.get("prompt"), MAX_PROMPT_CHARS)
    number, model = body.get("n"), body.get("model") or "gpt-image-2"
    if model not in MODELS:
        raise ApiError(404, f"The model '{model}' does not exist.", code="model_not_found", param="model")
    if number is not None and (type(number) is not int or not 1 <= number <= MAX_PICTURES):
        raise invalid("n", f"Invalid 'n': {number!r}. Expected an integer from 1 to {MAX_PICTURES}.")
    for name, known in CHOICES.items():
        if name in body and body[name] not in known and body[name] is not None:
            raise invalid(name, f"Invalid value: {body[name]!r}. Supported values are: {known}.")
    if not _allowed(str(body.get("size") or "auto"), MODELS[model]):
        raise invalid("size", f"Invalid value: {body['size']!r} is no size of {model}.")
    return body


def _allowed(size: str, fixed: tuple[str, ...]) -> bool:
    """gpt-image-2 and later take any size whose sides divide by 16, from 1:3 to 3:1, up to 3840x2160."""
    if size == "auto" or fixed:
        return size == "auto" or size in fixed
    sides = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", size)
    if sides is None:
        return False
    short, long = sorted((int(sides[1]), int(sides[2])))
    return short % 16 == 0 and long % 16 == 0 and long <= 3 * short and long <= MAX_SIDES[1] and short <= MAX_SIDES[0]


def _size(body: Mapping[str, Any], given: tuple[int, int]) -> tuple[int, int]:
    """What is asked for; `auto` is near the given size, in steps of 16."""
    named = body.get("size") or "auto"
    if named == "auto":
        scale = min(1.0, AUTO_SIDE / max(given))
        width, height = (max(16, round(side * scale / 16) * 16) for side in given)
    else:
        width, height = map(int, named.split("x"))
    return width, height


def _answer(body: Mapping[str, Any], size: tuple[int, int], pictures: list[bytes]) -> dict[str, Any]:
    width, height = size
    quality = body.get("quality") or "auto"
    quality = "medium" if quality == "auto" else quality
    heard = len(body["prompt"]) // 4 + 1
    made = round(TOKENS[quality] * width * height / 1024**2) * len(pictures)
    return {
        "created": int(time.time()),
        "background": "opaque",
        "data": [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures],
        "output_format": body.get("output_format") or "png",
        "quality": quality,
        "size": f"{width}x{height}",
        "usage": {
            "input_tokens": heard,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": heard},
            "output_tokens": made,
            "total_tokens": heard + made,
        },
    }
