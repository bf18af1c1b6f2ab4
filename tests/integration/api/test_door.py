"""Who gets in, and what every answer carries."""

import socket

import aiohttp
import pytest

from jobrunner.api import serving
from jobrunner.errors import ConfigError
from jobrunner.events import Event, subscribe
from jobrunner.runtime import opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http
from tests.integration.api.conftest import problem, submission


async def test_problems_of_the_protocol(http: aiohttp.ClientSession) -> None:
    async with http.get("/nowhere") as answer:
        assert "GET /" in (await problem(answer, 404, "not_found"))["detail"]
    async with http.put("/v1/jobs") as answer:
        await problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


async def test_request_ids_are_echoed_if_sane_and_logged(http: aiohttp.ClientSession) -> None:
    heard: list[Event] = []
    with subscribe(heard.append):
        async with http.get("/livez", headers={"X-Request-Id": "abc-1"}) as answer:
            assert answer.headers["X-Request-Id"] == "abc-1"
        async with http.get("/livez", headers={"X-Request-Id": "a b<script>"}) as answer:
            assert len(answer.headers["X-Request-Id"]) == 32
    [first, _] = [each.fields for each in heard if each.name == "api.request"]
    assert (first["request_id"], first["method"], first["path"], first["status"]) == ("abc-1", "GET", "/livez", 200)


async def test_pages_of_others_may_not_act(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    hosts = ("rebound.example", "rebound.example:80", "10.0.0.1", ":::")
    origins = ("https://evil.example", "null", "http://127.0.0.1:1")
    for headers in [*({"Host": host} for host in hosts), *({"Origin": origin} for origin in origins)]:
        with subtests.test(**headers):
            async with http.post("/v1/jobs", json=submission(), headers=headers) as answer:
                await problem(answer, 403, "forbidden")


async def test_our_own_pages_may_act(http: aiohttp.ClientSession) -> None:
    assert http._base_url is not None
    origin = str(http._base_url.origin())
    async with http.post("/v1/jobs", json=submission(), headers={"Origin": origin}) as answer:
        assert answer.status == 202
    headers = {"Host": f"localhost:{http._base_url.port}"}
    async with http.get("/livez", headers=headers) as answer:
        assert answer.status == 200


async def test_a_public_bind_must_be_said(settings: Settings) -> None:
    strangers = settings.model_copy(update={"http": Http(host="0.0.0.0", port=0)})
    async with opened(strangers) as runtime:
        with pytest.raises(ConfigError, match=r"http\.trust_network = true"):
            async with serving(runtime):
                pass
    trusted = settings.model_copy(update={"http": Http(host="0.0.0.0", port=0, trust_network=True)})
    async with opened(trusted) as runtime, serving(runtime) as url, aiohttp.ClientSession(url) as http:
        answer = await http.get("/livez", headers={"Host": "jobs.example"})
        assert answer.status == 200


async def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = settings.model_copy(update={"http": Http(port=port)})
        async with opened(busy) as runtime:
            with pytest.raises(ConfigError, match=str(port)):
                async with serving(runtime):
                    pass
