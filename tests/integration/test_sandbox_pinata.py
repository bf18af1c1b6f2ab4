"""The sandbox's Pinata: what it pins, what it calls it, and what it refuses."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import running
from jobrunner.sandbox.pinata import api, pins

FILES = "/pinata/v3/files"
BEAR = b"a bear"
KEY = {"Authorization": "Bearer test-key"}


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        running(tmp_path, speed=1000.0) as sandbox,
        aiohttp.ClientSession(sandbox.base_url, headers=KEY) as session,
    ):
        yield session


def form(content: bytes = BEAR, /, **fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="bear.txt", content_type="text/plain")
    for name, value in {"network": "public", **fields}.items():
        form.add_field(name, value)
    return form


async def ask(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, Any]:
    async with http.request(method, url, **options) as answer:
        return answer.status, await answer.json()


async def pin(http: aiohttp.ClientSession, content: bytes = BEAR, /, **fields: str) -> dict[str, Any]:
    status, answer = await ask(http, "POST", FILES, data=form(content, **fields))
    assert status == 200, answer
    return dict(answer["data"])


async def test_a_pinned_file_is_listed_found_and_served_to_everybody(http: aiohttp.ClientSession) -> None:
    made = await pin(http, name="bear", keyvalues='{"job": "7"}', group_id="bears")
    assert {name: made[name] for name in ("name", "size", "mime_type", "keyvalues", "group_id", "is_duplicate")} == {
        "name": "bear", "size": 6, "mime_type": "text/plain", "keyvalues": {"job": "7"}, "group_id": "bears",
        "is_duplicate": False,
    }  # fmt: skip
    shown = {name: value for name, value in made.items() if name != "is_duplicate"}
    assert await ask(http, "GET", f"{FILES}/public/{made['id']}") == (200, {"data": shown})
    page = {"data": {"files": [shown], "next_page_token": ""}}
    assert await ask(http, "GET", f"{FILES}/public", params={"cid": made["cid"]}) == (200, page)
    async with http.get(f"/pinata/ipfs/{made['cid']}", headers={"Authorization": ""}) as answer:
        assert (await answer.read(), answer.content_type) == (BEAR, "text/plain")


async def test_the_same_bytes_are_one_pin_and_one_purchase(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    first, again = await pin(http), await pin(http, name="another name")
    assert (again["id"], again["cid"], again["name"]) == (first["id"], first["cid"], "bear.txt")
    assert again["is_duplicate"]
    hidden = await pin(http, network="private")
    assert (hidden["cid"], hidden["is_duplicate"]) == (first["cid"], False)
    assert [each.id for each in ledger.read(tmp_path, "pinata")] == [first["id"], hidden["id"]]


async def test_a_private_file_is_not_on_the_gateway(http: aiohttp.ClientSession) -> None:
    hidden = await pin(http, network="private")
    assert (await ask(http, "GET", f"/pinata/ipfs/{hidden['cid']}"))[0] == 404


async def test_an_unpinned_file_is_gone_with_its_bytes(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    made = await pin(http)
    assert await ask(http, "DELETE", f"{FILES}/public/{made['id']}") == (200, {"data": None})
    assert (await ask(http, "GET", f"{FILES}/public/{made['id']}"))[0] == 404
    assert (await ask(http, "GET", f"/pinata/ipfs/{made['cid']}"))[0] == 404
    assert list((tmp_path / pins.DIRECTORY).iterdir()) == []


async def test_lists_come_in_pages(http: aiohttp.ClientSession) -> None:
    made = [(await pin(http, f"bear {n}".encode()))["id"] for n in range(3)]
    _, first = await ask(http, "GET", f"{FILES}/public", params={"limit": "2"})
    following = {"limit": "2", "pageToken": first["data"]["next_page_token"]}
    _, second = await ask(http, "GET", f"{FILES}/public", params=following)
    assert [each["id"] for page in (first, second) for each in page["data"]["files"]] == made[::-1]
    assert second["data"]["next_page_token"] == ""


async def test_a_reopened_sandbox_still_serves(tmp_path: Path) -> None:
    async with running(tmp_path) as first, aiohttp.ClientSession(first.base_url, headers=KEY) as http:
        made = await pin(http)
    async with (
        running(tmp_path) as second,
        aiohttp.ClientSession(second.base_url) as http,
        http.get(f"/pinata/ipfs/{made['cid']}") as answer,
    ):
        assert await answer.read() == BEAR


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"network": "intranet"}, 400, "network must be public or private"),
        ({"keyvalues": "[1]"}, 400, "keyvalues must be a JSON object"),
        ({"keyvalues": "{"}, 400, "keyvalues must be a JSON object"),
        ({"name": "[fail]"}, 400, "asked to be refused"),
        ({"name": "[quota]"}, 403, "plan usage limit"),
        ({"name": "[429]"}, 429, "Rate limit"),
    ],
)
async def test_it_refuses_and_keeps_nothing(
    http: aiohttp.ClientSession, tmp_path: Path, fields: dict[str, str], status: int, message: str
) -> None:
    got, answer = await ask(http, "POST", FILES, data=form(**fields))
    assert (got, answer["error"]["code"]) == (status, status)
    assert message in answer["error"]["message"]
    assert ledger.read(tmp_path) == []
    assert list((tmp_path / pins.DIRECTORY).iterdir()) == []


async def test_a_file_has_a_limit(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_BYTES", 5)
    assert (await ask(http, "POST", FILES, data=form()))[0] == 413


async def test_a_body_without_a_file_is_refused(http: aiohttp.ClientSession) -> None:
    assert (await ask(http, "POST", FILES, json={}))[0] == 400
    empty = aiohttp.FormData({"network": "public"}, default_to_multipart=True)
    assert (await ask(http, "POST", FILES, data=empty))[0] == 400
    for claimed in ("multipart/form-data", "multipart/form-data; boundary=bear"):
        status, answer = await ask(http, "POST", FILES, data=b"grr", headers={"Content-Type": claimed})
        assert (status, answer["error"]["code"]) == (400, 400)


async def test_a_wrong_key_is_refused(http: aiohttp.ClientSession) -> None:
    status, answer = await ask(http, "POST", FILES, data=form(), headers={"Authorization": "Bearer wrong-key"})
    assert (status, answer["error"]["code"]) == (401, 401)


async def test_a_lost_answer_is_found_again_by_the_bytes(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    with pytest.raises(aiohttp.ClientError):
        await pin(http, name="[reset]")
    assert (await pin(http))["is_duplicate"]
    assert len(ledger.read(tmp_path)) == 1


async def test_a_word_in_the_name_befalls_the_file(http: aiohttp.ClientSession) -> None:
    expired, cut = await pin(http, name="[expire]"), await pin(http, BEAR * 2, name="[truncate]")
    assert (await ask(http, "GET", f"/pinata/ipfs/{expired['cid']}"))[0] == 404
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.get(f"/pinata/ipfs/{cut['cid']}") as answer:
            await answer.read()
