"""OpenAI's images API: one long request that answers with base64. Not spoken: edits, `stream: true`."""

import asyncio
import base64
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, SLOW_S, WORD, word_in
from jobrunner.sandbox.state import State

API_KEY: Final = "test-key"
DRAW_S: Final = 1.0
MAX_PICTURES: Final = 10
MAX_PROMPT_CHARS: Final = 32_000
MAX_SIDES: Final = (2160, 3840)
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
    "stream": (None, False),
}
KNOWN: Final = {
    *CHOICES,
    "prompt",
    "model",
    "n",
    "size",
    "output_compression",
    "partial_images",
    "user",
    "safety_identifier",
}


REQUEST_ID = web.RequestKey("request_id", str)


class ApiError(Exception):
    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status, self.error = status, {"message": message, "type": type, "param": param, "code": code}

    def response(self) -> web.Response:
        return web.Response(
            status=self.status, body=orjson.dumps({"error": self.error}), content_type="application/json"
        )


class OpenAI:
    name = "openai"

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_answer_errors], client_max_size=32 * 2**20)
        app.on_response_prepare.append(_sign)
        guard = self._state.faults.guard
        app.add_routes(
            [
                web.post("/v1/images/generations", guard(self, "create", self.generate)),
                web.get("/v1/models", guard(self, "list", self.models)),
            ]
        )
        return app

    def refuse(self, word: str, retry_after: str | None) -> web.Response:
        match word:
            case "429":
                error = ApiError(429, "Rate limit reached for images.", code="rate_limit_exceeded", type="requests")
                response = error.response()
                if retry_after is not None:
                    response.headers["Retry-After"] = retry_after
                return response
            case "quota":
                message = "You exceeded your current quota, please check your plan and billing details."
                return ApiError(429, message, code="insufficient_quota", type="insufficient_quota").response()
            case "503":
                message = "The server is currently overloaded with other requests."
                return ApiError(503, message, code="server_error", type="server_error").response()
        message = "The server had an error while processing your request."
        return ApiError(500, message, code="server_error", type="server_error").response()

    async def models(self, _request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 1767225600, "owned_by": "openai"} for name in MODELS]
        return web.json_response(body=orjson.dumps({"object": "list", "data": data}))

    async def generate(self, request: web.Request) -> web.Response:
        body = _checked(await _json(request))
        digest, word = ledger.body_sha256(body), request[WORD] or word_in(body["prompt"])
        if self._state.faults.refuses(word, digest):
            return self.refuse(word, "1")
        if word in ("moderation", "fail"):
            raise _rejected(word)
        number = body.get("n") or 1
        purchase = ledger.Purchase(
            self.name, request[REQUEST_ID], digest, body["prompt"], time.time(), round(PRICE_USD * number, 6)
        )
        ledger.record(self._state.db, purchase)
        if word in DELIVERED:
            request[DELIVERY] = word
        pictures, _ = await asyncio.gather(
            self._draw(body, digest, number), asyncio.sleep((SLOW_S if word == "slow" else DRAW_S) / self.speed)
        )
        return web.Response(body=orjson.dumps(_answer(body, pictures)), content_type="application/json")

    async def _draw(self, body: Mapping[str, Any], digest: str, number: int) -> list[bytes]:
        studio, seed = self._state.studio, int(digest[:8], 16)
        orders = [
            studio.picture(
                body["prompt"], seed=seed + index, size=_size(body), format=body.get("output_format") or "png"
            )
            for index in range(number)
        ]
        return list(await asyncio.gather(*orders))


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    request[REQUEST_ID] = f"req_{secrets.token_hex(16)}"
    response: web.StreamResponse
    try:
        _authenticate(request)
        response = await handler(request)
    except ApiError as error:
        response = error.response()
    except web.HTTPException as error:
        message = f"{error.reason}: {request.method} {request.path}"
        response = ApiError(error.status, message).response()
    return response


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-request-id"] = request[REQUEST_ID]


def _authenticate(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise ApiError(401, f"Incorrect API key provided. The sandbox knows {API_KEY}.", code="invalid_api_key")


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request.")
    return body


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    for name in body:
        if name not in KNOWN:
            raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    _check_prompt(body.get("prompt"))
    number, model = body.get("n"), body.get("model") or "gpt-image-2"
    if model not in MODELS:
        raise ApiError(404, f"The model '{model}' does not exist.", code="model_not_found", param="model")
    if number is not None and (type(number) is not int or not 1 <= number <= MAX_PICTURES):
        raise _invalid("n", f"Invalid 'n': {number!r}. Expected an integer from 1 to {MAX_PICTURES}.")
    for name, known in CHOICES.items():
        if name in body and body[name] not in known and body[name] is not None:
            raise _invalid(name, f"Invalid value: {body[name]!r}. Supported values are: {known}.")
    if not _allowed(str(body.get("size") or "auto"), MODELS[model]):
        raise _invalid("size", f"Invalid value: {body['size']!r} is no size of {model}.")
    return body


def _check_prompt(prompt: Any) -> None:
    if not prompt:
        raise _invalid("prompt", "Missing required parameter: 'prompt'.", code="missing_required_parameter")
    if not isinstance(prompt, str):
        raise _invalid("prompt", "Invalid type for 'prompt': expected a string.", code="invalid_type")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise _invalid("prompt", "Invalid 'prompt': string too long.", code="string_above_max_length")


def _invalid(param: str, message: str, *, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


def _rejected(word: str) -> ApiError:
    kind = "image_generation_user_error"
    if word == "fail":
        return ApiError(400, "The prompt asked to fail with [fail].", code="invalid_value", type=kind)
    message = "Your request was rejected as a result of our safety system."
    return ApiError(400, message, code="moderation_blocked", type=kind)


def _allowed(size: str, fixed: tuple[str, ...]) -> bool:
    """gpt-image-2 and later take any size whose sides divide by 16, from 1:3 to 3:1, up to 3840x2160."""
    if size == "auto" or fixed:
        return size == "auto" or size in fixed
    sides = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", size)
    if sides is None:
        return False
    short, long = sorted((int(sides[1]), int(sides[2])))
    return short % 16 == 0 and long % 16 == 0 and long <= 3 * short and long <= MAX_SIDES[1] and short <= MAX_SIDES[0]


def _size(body: Mapping[str, Any]) -> tuple[int, int]:
    named = body.get("size") or "auto"
    width, height = ("1024x1024" if named == "auto" else named).split("x")
    return int(width), int(height)


def _answer(body: Mapping[str, Any], pictures: list[bytes]) -> dict[str, Any]:
    width, height = _size(body)
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
