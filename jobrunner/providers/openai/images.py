"""Pictures: POST /images/generations, and /images/edits for what starts from pictures (OpenAI API reference, Images).

One long request, no seed: the answer carries the pictures in base64, and if it is lost, nobody can say whether they
were drawn and billed.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobrunner.media import sniff
from jobrunner.net import save
from jobrunner.providers.answers import BadAnswer, Line, parsed, unsupported
from jobrunner.providers.base64_spool import extract
from jobrunner.providers.driver import Desk, Finished
from jobrunner.providers.openai.forms import form_of, unpacked
from jobrunner.providers.openai.reading import raise_hidden, tokens
from jobrunner.request import ImageEdit, ImageRequest
from jobrunner.work import Artifact, Output, Plan, file_mark

GENERATIONS = "images/generations"
EDITS = "images/edits"
MAX_PROMPT = 32_000
MAX_PICTURES = 10
MAX_INPUTS = 16
MAX_INPUT_BYTES = 50 * 1024 * 1024
MAX_MASK_BYTES = 4 * 1024 * 1024
TAKEN = frozenset({"image/png", "image/jpeg", "image/webp"})
FIXED_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
LONG_SIDE, SHORT_SIDE = 3840, 2160
MAX_RATIO = 3
STEP = 16
BODY_BYTES = 512 * 1024 * 1024
KEPT = ("created", "size", "quality", "background", "output_format", "usage")


def drawing(model: str, request: ImageRequest) -> Plan:
    """The seed is dropped, since these models take none; what should look alike is an edit's input."""
    body = _body(model, request.prompt, "prompt", request.n, request.size)
    if not request.references:
        return Plan("openai", model, GENERATIONS, body)
    return _edit(model, body, request.references, "references")


def editing(model: str, request: ImageEdit) -> Plan:
    body = _body(model, request.instruction, "instruction", request.n, request.size)
    return _edit(model, body, (request.image,), "image", request.mask)


def _body(model: str, prompt: str, field: str, n: int, size: tuple[int, int] | None) -> dict[str, Any]:
    """The size becomes the nearest one that the model draws."""
    if len(prompt) > MAX_PROMPT:
        raise unsupported("openai", field, f"at most {MAX_PROMPT:,} characters, not {len(prompt):,}")
    if not 1 <= n <= MAX_PICTURES:
        raise unsupported("openai", "n", f"1 to {MAX_PICTURES} pictures a call, not {n}")
    return {"model": model, "prompt": prompt, "n": n, "size": _size(model, size), "output_format": "png"}


def _edit(
    model: str, body: dict[str, Any], pictures: Sequence[Artifact], field: str, mask: Artifact | None = None
) -> Plan:
    if len(pictures) > MAX_INPUTS:
        raise unsupported("openai", field, f"at most {MAX_INPUTS} pictures, not {len(pictures)}")
    for picture in pictures:
        if picture.mime not in TAKEN or picture.size_bytes >= MAX_INPUT_BYTES:
            raise unsupported(
                "openai", field, f"PNG, JPEG or WebP below {MAX_INPUT_BYTES:,} bytes, not {_told(picture)}"
            )
    body["image"] = [file_mark(picture) for picture in pictures]
    if mask is None:
        return Plan("openai", model, EDITS, body, tuple(pictures))
    alike = (mask.width, mask.height) == (pictures[0].width, pictures[0].height)
    if mask.mime != "image/png" or mask.size_bytes >= MAX_MASK_BYTES or not alike:
        told = f"a PNG of the picture's size below {MAX_MASK_BYTES:,} bytes, not {_told(mask)}"
        raise unsupported("openai", "mask", told)
    return Plan("openai", model, EDITS, body | {"mask": file_mark(mask)}, (*pictures, mask))


def _told(picture: Artifact) -> str:
    return f"{picture.mime}, {picture.width} x {picture.height} pixels, {picture.size_bytes:,} bytes"


async def draw(line: Line, plan: Plan, desk: Desk) -> Finished:
    return await _made(line, plan, desk, {"body": dict(plan.body)})


async def edit(line: Line, plan: Plan, desk: Desk) -> Finished:
    """Multipart: one picture is the part `image`, several are parts named `image[]`; files are streamed from disk."""
    body = unpacked(plan)
    pictures = body.pop("image")
    name = "image" if len(pictures) == 1 else "image[]"
    async with form_of([*((name, picture) for picture in pictures), *body.items()], desk) as form:
        return await _made(line, plan, desk, {"data": form})


async def _made(line: Line, plan: Plan, desk: Desk, sent: Mapping[str, Any]) -> Finished:
    async with line.open("POST", plan.endpoint, create=True, **sent) as answer:
        body = await save(answer, desk.spool, max_bytes=BODY_BYTES)
        request_id = answer.headers.get("x-request-id")
        try:
            rest, pictures = await asyncio.to_thread(extract, body.path, desk.spool)
        finally:
            body.path.unlink(missing_ok=True)
        return _finished(parsed(rest), pictures, request_id)


def _finished(answer: dict[str, Any], pictures: list[Path], request_id: str | None) -> Finished:
    raise_hidden(answer, request_id)
    outputs = tuple(_outputs(answer.get("data"), pictures))
    if not outputs:
        raise BadAnswer("an answer without a picture")
    meta = {key: answer[key] for key in KEPT if key in answer} | {"request_id": request_id}
    return Finished(outputs, meta, tokens(answer.get("usage")))


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
