"""The sandbox's OpenAI beside plain pictures: edits, speech, chat and responses, over real HTTP."""

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image, ImageChops, ImageStat

from jobrunner.media import sniff
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox, running
from jobrunner.sandbox.artists import artist
from jobrunner.sandbox.openai.extraction import LABEL
from jobrunner.sandbox.openai.response import Response

KEY = {"Authorization": "Bearer test-key"}
V1 = "/openai/v1"
MEADOW = artist.draw("a meadow at noon", 1, 192, 128)
CLOSED = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]} | {
    "additionalProperties": False
}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running(tmp_path, speed=100) as sandbox:
        yield sandbox


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sandbox.base_url, headers=KEY) as session:
        yield session


async def ask(http: aiohttp.ClientSession, path: str, method: str = "POST", **body: Any) -> tuple[int, Any]:
    async with http.request(method, f"{V1}{path}", json=body or None) as answer:
        return answer.status, await answer.json()


async def edit(http: aiohttp.ClientSession, *files: tuple[str, bytes], **fields: str) -> tuple[int, Any]:
    form = aiohttp.FormData()
    for name, file in files:
        form.add_field(name, file, filename="a.png", content_type="image/png")
    for name, value in fields.items():
        form.add_field(name, value)
    async with http.post(f"{V1}/images/edits", data=form) as answer:
        return answer.status, await answer.json()


def image(answer: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"]))).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean over all pixels and colours, of 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


async def test_an_edit_changes_the_picture_that_was_sent_as_its_words_ask(http: aiohttp.ClientSession) -> None:
    given = Image.open(io.BytesIO(MEADOW)).convert("RGB")
    (_, night), (_, dawn), (_, again) = [
        await edit(http, ("image", MEADOW), prompt=prompt) for prompt in ("at night", "at dawn", "at night")
    ]
    assert night["size"] == "192x128"
    assert difference(image(night), given) > 20
    assert difference(image(night), image(dawn)) > 20
    assert night["data"] == again["data"]
    assert len(await (await http.get("/admin/purchases")).json()) == 3


async def test_an_edit_keeps_what_the_mask_covers(http: aiohttp.ClientSession) -> None:
    mask = Image.new("RGBA", (192, 128), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (96, 0, 192, 128))
    _, answer = await edit(http, ("image", MEADOW), ("mask", png(mask)), prompt="at night")
    given, made = Image.open(io.BytesIO(MEADOW)).convert("RGB"), image(answer)
    left, right = (0, 0, 96, 64), (96, 0, 192, 64)
    assert difference(given.crop(left), made.crop(left)) == 0
    assert difference(given.crop(right), made.crop(right)) > 20


async def test_several_pictures_all_show_in_the_edit(http: aiohttp.ClientSession) -> None:
    red = png(Image.new("RGB", (64, 64), "red"))
    _, answer = await edit(http, ("image[]", MEADOW), ("image[]", red), prompt="at night", size="512x512")
    colours = image(answer).getcolors(512 * 512) or []
    assert max(number for number, colour in colours if colour == (255, 0, 0)) > 5000


@pytest.mark.parametrize(
    ("files", "fields", "code"),
    [
        ([("mask", MEADOW)], {"prompt": "x"}, "missing_required_parameter"),
        ([("image", b"no picture")], {"prompt": "x"}, "invalid_image_file"),
        ([("image", MEADOW[:-999])], {"prompt": "x"}, "invalid_image_file"),
        ([("image", MEADOW), ("image", MEADOW)], {"prompt": "x"}, "invalid_value"),
        ([("image[]", MEADOW)] * 17, {"prompt": "x"}, "invalid_value"),
        ([("image", MEADOW), ("mask", png(Image.new("RGBA", (8, 8))))], {"prompt": "x"}, "invalid_value"),
        ([("image", MEADOW)], {}, "missing_required_parameter"),
        ([("image", MEADOW)], {"prompt": "x", "n": "11"}, "invalid_value"),
        ([("image", MEADOW)], {"prompt": "x", "colour": "red"}, "unknown_parameter"),
        ([("image", MEADOW)], {"prompt": "x [moderation]"}, "moderation_blocked"),
    ],
)
async def test_an_edit_that_is_wrong_is_refused(
    http: aiohttp.ClientSession, files: list[tuple[str, bytes]], fields: dict[str, str], code: str
) -> None:
    status, answer = await edit(http, *files, **fields)
    assert (status, answer["error"]["code"]) == (400, code)
    assert await (await http.get("/admin/purchases")).json() == []


async def test_speech_comes_in_chunks_and_in_the_format_that_was_asked_for(http: aiohttp.ClientSession) -> None:
    body = {"model": "gpt-4o-mini-tts", "input": "Hello there.", "voice": "nova"}
    for format, mime in (("mp3", "audio/mpeg"), ("wav", "audio/wav")):
        async with http.post(f"{V1}/audio/speech", json=body | {"response_format": format}) as answer:
            assert (answer.status, answer.content_length) == (200, None)
            assert sniff(await answer.content.read(16)) == mime
            await answer.read()
    prices = [row["price_usd"] for row in await (await http.get("/admin/purchases")).json()]
    assert prices == [pytest.approx(0.00018)] * 2


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"voice": "nobody"}, 400, "invalid_value"),
        ({"speed": 5}, 400, "invalid_value"),
        ({"response_format": "midi"}, 400, "invalid_value"),
        ({"input": ""}, 400, "missing_required_parameter"),
        ({"input": "x" * 4097}, 400, "string_above_max_length"),
        ({"model": "tts-9"}, 404, "model_not_found"),
        ({"input": "x [moderation]"}, 400, "moderation_blocked"),
    ],
)
async def test_speech_that_cannot_be_is_refused(
    http: aiohttp.ClientSession, changes: dict[str, Any], status: int, code: str
) -> None:
    body = {"model": "tts-1", "input": "Hello.", "voice": "nova"} | changes
    got, answer = await ask(http, "/audio/speech", **body)
    assert (got, answer["error"]["code"]) == (status, code)


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": prompt}]} | more


async def test_a_chat_that_streams_says_the_same_as_one_that_does_not(http: aiohttp.ClientSession) -> None:
    _, whole = await ask(http, "/chat/completions", **chat("The boy rows to the island. He is not alone."))
    asked = chat("The boy rows to the island. He is not alone.", stream=True, stream_options={"include_usage": True})
    async with http.post(f"{V1}/chat/completions", json=asked) as answer:
        assert answer.content_type == "text/event-stream"
        lines = [line for line in (await answer.text()).split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    *chunks, last = [json.loads(line.removeprefix("data: ")) for line in lines]
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert (last["choices"], last["usage"]) == ([], whole["usage"])


async def test_a_chat_answers_by_schema_and_stops_at_its_limit(http: aiohttp.ClientSession) -> None:
    format = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": CLOSED}}
    _, answer = await ask(http, "/chat/completions", **chat("A tall tale.", response_format=format))
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"title": f"A tall tale [{LABEL}]"}
    _, cut = await ask(http, "/chat/completions", **chat("A tall tale.", max_completion_tokens=2))
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"] <= 3) == ("length", True)


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ({"type": "object", "properties": {"title": {"type": "string"}}}, "invalid_json_schema"),
        (CLOSED | {"required": []}, "invalid_json_schema"),
        (CLOSED | {"properties": {"title": {"type": "object"}}}, "invalid_json_schema"),
        ({"type": "array"}, "invalid_value"),
    ],
)
async def test_a_strict_schema_must_be_closed(http: aiohttp.ClientSession, schema: Any, code: str) -> None:
    format = {"type": "json_schema", "name": "a", "strict": True, "schema": schema}
    for path, body in (
        ("/chat/completions", chat("x", response_format={"type": "json_schema", "json_schema": format})),
        ("/responses", {"model": "m", "input": "x", "text": {"format": format}}),
    ):
        status, answer = await ask(http, path, **body)
        assert (status, answer["error"]["code"]) == (400, code)


async def test_a_response_in_the_foreground_is_whole_at_once(http: aiohttp.ClientSession) -> None:
    said = [{"role": "user", "content": [{"type": "input_text", "text": "A tall tale."}]}]
    status, answer = await ask(http, "/responses", model="m", input=said)
    assert (status, answer["status"], answer["usage"]["total_tokens"] > 0) == (200, "completed", True)
    assert answer["output"][0]["content"][0]["text"] == f"[{LABEL}] A tall tale."


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m"},
        {"input": "x"},
        {"model": "m", "input": "x", "background": True, "store": False},
        {"model": "m", "input": "x", "stream": True},
        {"model": "m", "input": "x", "tools": []},
    ],
)
async def test_a_response_that_cannot_be_is_refused(http: aiohttp.ClientSession, body: dict[str, Any]) -> None:
    assert (await ask(http, "/responses", **body))[0] == 400


async def test_a_response_can_be_cancelled_and_deleted(http: aiohttp.ClientSession) -> None:
    _, made = await ask(http, "/responses", model="m", input="x [hang]", background=True)
    assert made["status"] == "queued"
    for _ in range(2):
        assert (await ask(http, f"/responses/{made['id']}/cancel"))[1]["status"] == "cancelled"
    assert (await ask(http, f"/responses/{made['id']}", "DELETE"))[1]["deleted"]
    assert (await ask(http, f"/responses/{made['id']}", "GET"))[0] == 404


async def test_only_the_background_can_be_cancelled(http: aiohttp.ClientSession) -> None:
    _, made = await ask(http, "/responses", model="m", input="x")
    assert (await ask(http, f"/responses/{made['id']}/cancel"))[0] == 400


async def test_a_response_outlives_its_sandbox(tmp_path: Path) -> None:
    async with running(tmp_path) as first, aiohttp.ClientSession(first.base_url, headers=KEY) as http:
        _, made = await ask(http, "/responses", model="m", input="A tall tale. [slow]", background=True)
    async with running(tmp_path) as second, aiohttp.ClientSession(second.base_url, headers=KEY) as http:
        status, again = await ask(http, f"/responses/{made['id']}", "GET")
    assert (status, again["id"], again["status"]) == (200, made["id"], "queued")
    assert [row.id for row in ledger.read(tmp_path)] == [made["id"]]


@pytest.mark.parametrize(
    ("fate", "cancelled_at", "at", "status"),
    [
        ("", None, 101, "queued"),
        ("", None, 105, "in_progress"),
        ("", None, 110, "completed"),
        ("fail", None, 110, "failed"),
        ("moderation", None, 110, "failed"),
        ("hang", None, 1e9, "in_progress"),
        ("hang", 103.0, 103, "cancelled"),
    ],
)
def test_a_responses_status_is_a_function_of_row_and_time(
    fate: str, cancelled_at: float | None, at: float, status: str
) -> None:
    assert Response("resp_1", "{}", fate, 100.0, 2.0, 8.0, cancelled_at).status(at) == status
