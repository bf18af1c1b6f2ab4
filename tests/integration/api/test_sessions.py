"""Sign-in of a browser: a key for a cookie, what the cookie opens, and how it ends."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookies import Morsel, SimpleCookie
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from jobrunner.api.guard.keys import PREFIX, hash_of, new_key
from jobrunner.api.guard.sessions import COOKIE, LASTS_S, TOKEN
from jobrunner.settings import Settings
from tests.integration.api.conftest import problem, submission
from tests.integration.api.keyring import Keyring, bearer, keyed, upload

PATH = "/v1/session"


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """It keeps cookies, also those of an address without a name."""
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield http


async def sign_in(http: aiohttp.ClientSession, key: str, **headers: str) -> tuple[dict[str, Any], Morsel[str]]:
    """What the server says, and the cookie that it sets."""
    async with http.post(PATH, json={"key": key}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json(), SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]


async def cookie_of(ring: Keyring, name: str) -> str:
    async with browser(ring.url) as http:
        _, cookie = await sign_in(http, ring.keys[name])
        return cookie.value


async def status(url: str, cookie: str) -> int:
    async with aiohttp.ClientSession(url) as http, http.get("/v1/jobs", headers={"Cookie": cookie}) as answer:
        return answer.status


async def test_a_browser_that_signed_in_is_its_keys_caller(settings: Settings) -> None:
    async with keyed(settings, ops={}, seven={"user_id": "7"}) as ring, browser(ring.url) as http:
        said, _ = await sign_in(http, ring.keys["ops"])
        assert (said["caller"], said["scopes"], said["user_id"], said["keys"]) == (
            "ops",
            ["read", "submit"],
            None,
            True,
        )
        async with http.get(PATH) as answer:
            assert await answer.json() == said
        async with http.post("/v1/jobs", json=submission(), headers={TOKEN: said["token"]}) as answer:
            assert answer.status == 202
        async with http.post("/v1/jobs:cancel", json={"task": "api_paint"}, headers={TOKEN: said["token"]}) as answer:
            assert "'ops' has read, submit" in (await problem(answer, 403, "scope_missing"))["detail"]
        async with ring.session("ops") as programme:
            path = await upload(programme)
        async with http.get(path) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
        bound, _ = await sign_in(http, ring.keys["seven"])
        assert bound["user_id"] == "7"
        async with http.get("/v1/jobs") as answer:
            assert (await answer.json())["data"] == []


async def test_no_script_reads_the_cookie_and_no_other_site_makes_it_be_sent(settings: Settings) -> None:
    async with keyed(settings, ops={}) as ring, browser(ring.url) as http:
        for headers, secure in (
            ({}, False),
            ({"X-Forwarded-Proto": "http"}, False),
            ({"X-Forwarded-Proto": "https"}, True),
            ({"X-Forwarded-Proto": "https, http"}, True),
        ):
            said, cookie = await sign_in(http, ring.keys["ops"], **headers)
            assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
            assert (cookie["domain"], cookie["max-age"], bool(cookie["secure"])) == ("", str(LASTS_S), secure)
            for secret in (ring.keys["ops"].removeprefix(PREFIX), hash_of(ring.keys["ops"])):
                assert secret not in f"{cookie.value} {said}"


async def test_who_acts_by_a_cookie_shows_the_token_of_its_session(
    settings: Settings, subtests: pytest.Subtests
) -> None:
    async with keyed(settings, ops={"scopes": ("admin",)}, other={}) as ring, browser(ring.url) as http:
        theirs, _ = await sign_in(http, ring.keys["other"])
        await sign_in(http, ring.keys["ops"])
        for what, headers in {
            "none": {},
            "empty": {TOKEN: ""},
            "another session's": {TOKEN: theirs["token"]},
            "no ASCII": {TOKEN: "é"},
        }.items():
            for path, body in (("/v1/jobs", submission()), ("/v1/jobs:cancel", {"task": "api_paint"})):
                with subtests.test(what, path=path):
                    async with http.post(path, json=body, headers=headers) as answer:
                        assert TOKEN in (await problem(answer, 403, "token_missing"))["detail"]
        async with http.post("/v1/jobs", json=submission(), headers=bearer(ring.keys["ops"])) as answer:
            assert answer.status == 202  # a key of its own needs no token


async def test_a_key_in_the_request_goes_before_the_cookie(settings: Settings) -> None:
    async with keyed(settings, ops={}, other={}) as ring, browser(ring.url) as http:
        await sign_in(http, ring.keys["ops"])
        async with http.get(PATH, headers=bearer(ring.keys["other"])) as answer:
            said = await answer.json()
        assert (said["caller"], said["token"], said["expires_at"]) == ("other", None, None)
        for path in ("/v1/jobs", PATH):
            async with http.get(path, headers=bearer(new_key())) as answer:
                await problem(answer, 401, "unauthorized")


async def test_a_session_is_known_to_every_server_and_dies_with_its_key(settings: Settings) -> None:
    async with keyed(settings, ops={}, other={}) as ring:
        cookie = f"{COOKIE}={await cookie_of(ring, 'ops')}"
        rows = {"ops": {"hash": hash_of(ring.keys["ops"])}}
        changed: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], int]] = {
            "the same key": ({}, rows, 200),
            "a new key of its name": ({}, {"ops": {}}, 401),
            "no key of its name": ({}, {"other": rows["ops"]}, 401),
            "another secret": ({"url_secret": SecretStr("another-secret-of-at-least-thirty-two")}, rows, 401),
        }
        for what, (http, known, expected) in changed.items():
            async with keyed(settings, http, **known) as second:
                assert await status(second.url, cookie) == expected, what


async def test_a_session_ends_after_twelve_hours(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with keyed(settings, ops={}) as ring:
        cookie = f"{COOKIE}={await cookie_of(ring, 'ops')}"
        clock = time.time
        for passed_s, expected in ((LASTS_S - 60, 200), (LASTS_S + 1, 401)):
            monkeypatch.setattr("jobrunner.api.guard.sessions.time.time", lambda passed_s=passed_s: clock() + passed_s)
            assert await status(ring.url, cookie) == expected


async def test_a_cookie_that_was_tampered_with_opens_nothing(settings: Settings, subtests: pytest.Subtests) -> None:
    async with keyed(settings, ops={"user_id": "7"}, boss={"scopes": ("admin",)}) as ring:
        mine, theirs = await cookie_of(ring, "ops"), await cookie_of(ring, "boss")
        name, expires, seal = mine.split(".")
        for what, cookie in {
            "another name": f"{theirs.split('.')[0]}.{expires}.{seal}",
            "a later end": f"{name}.{int(expires) + 1}.{seal}",
            "another seal": f"{name}.{expires}.{'0' * 64}",
            "a cut one": mine[:-1],
            "no base64": f"===.{expires}.{seal}",
            "no UTF-8": f"_w==.{expires}.{seal}",
            "nothing": "",
        }.items():
            with subtests.test(what):
                assert await status(ring.url, f"{COOKIE}={cookie}") == 401
        assert await status(ring.url, f"{COOKIE}={mine}") == 200


async def test_signing_out(settings: Settings) -> None:
    async with keyed(settings, ops={}) as ring, browser(ring.url) as http:
        await sign_in(http, ring.keys["ops"])
        async with http.delete(PATH) as answer:
            assert answer.status == 204
        async with http.get(PATH) as answer:
            said = await answer.json()
        assert (said["caller"], said["scopes"], said["token"], said["keys"]) == (None, [], None, True)
        async with http.get("/v1/jobs") as answer:
            await problem(answer, 401, "unauthorized")


async def test_wrong_keys_are_paced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobrunner.api.dashboard.session._WRONG_PER_MINUTE", 2)
    async with keyed(settings, ops={}) as ring, browser(ring.url) as http:
        for _ in range(3):
            await sign_in(http, ring.keys["ops"])  # right ones are not counted
        for _ in range(2):
            async with http.post(PATH, json={"key": new_key()}) as answer:
                await problem(answer, 401, "unauthorized")
        async with http.post(PATH, json={"key": ring.keys["ops"]}) as answer:
            assert (await problem(answer, 429, "too_many_requests"))["retryable"]
            assert 1 <= int(answer.headers["Retry-After"]) <= 30
        async with http.get("/v1/jobs") as answer:
            assert answer.status == 200


async def test_a_server_without_keys_lets_everybody_in(http: aiohttp.ClientSession) -> None:
    for answering in (http.get(PATH), http.post(PATH, json={"key": "any"})):
        async with answering as answer:
            said = await answer.json()
            assert "Set-Cookie" not in answer.headers
        assert (said["caller"], said["keys"], said["token"]) == ("everybody", False, None)
        assert said["scopes"] == ["admin", "operate", "read", "submit"]
