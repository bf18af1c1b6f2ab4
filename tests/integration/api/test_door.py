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
from tests.integration.api.keyring import bearer, keyed


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


async def test_every_answer_is_told_how_to_behave_in_a_browser(http: aiohttp.ClientSession) -> None:
    for path in ("/livez", "/nowhere"):
        async with http.get(path) as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Server"] == "jobrunner"


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


async def test_a_public_bind_needs_keys_or_a_word(settings: Settings) -> None:
    strangers = settings.model_copy(update={"http": Http(host="0.0.0.0", port=0)})
    async with opened(strangers) as runtime:
        with pytest.raises(ConfigError, match=r"`jobrunner keys create .*http\.trust_network = true"):
            async with serving(runtime):
                pass
    async with keyed(strangers, web={}) as ring, ring.session("web") as http:
        answer = await http.get("/v1/jobs", headers={"Host": "jobs.example"})
        assert answer.status == 200
    trusted = settings.model_copy(update={"http": Http(host="0.0.0.0", port=0, trust_network=True)})
    async with opened(trusted) as runtime, serving(runtime) as url, aiohttp.ClientSession(url) as http:
        answer = await http.get("/livez", headers={"Host": "jobs.example"})
        assert answer.status == 200


async def test_named_hosts_are_the_only_ones(settings: Settings, subtests: pytest.Subtests) -> None:
    named = {"hosts": ("jobs.example", "10.0.0.1")}
    async with keyed(settings, named, web={}) as ring, ring.session("web") as http:
        for host, status in {
            "jobs.example": 200,
            "JOBS.example:443": 200,
            "10.0.0.1:8080": 200,
            "localhost": 200,
            "other.example": 403,
            "x.jobs.example": 403,
            "10.0.0.2": 403,
        }.items():
            with subtests.test(host=host):
                async with http.get("/v1/jobs", headers={"Host": host}) as answer:
                    assert answer.status == status
                    assert status == 200 or "`http.hosts`" in (await problem(answer, 403, "forbidden"))["detail"]


APP = "https://app.example"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_pages_elsewhere_are_told_nothing_unless_listed(http: aiohttp.ClientSession) -> None:
    for method, path, status in (("OPTIONS", "/v1/jobs", 405), ("GET", "/v1/jobs", 200), ("POST", "/v1/jobs", 403)):
        async with http.request(method, path, headers=PREFLIGHT) as answer:
            assert answer.status == status
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_listed_origins_may_call(settings: Settings) -> None:
    async with keyed(settings, {"cors_origins": (APP,)}, web={}) as ring, ring.session() as http:
        async with http.options("/v1/jobs", headers=PREFLIGHT) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == APP
            assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(", ")
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"].split(", ")
        async with http.post("/v1/jobs", json=submission(), headers={"Origin": APP}) as answer:
            await problem(answer, 401, "unauthorized")  # which its page may read, too
            assert answer.headers["Access-Control-Allow-Origin"] == APP
            assert answer.headers["Vary"] == "Origin"
        headers = bearer(ring.keys["web"])
        async with http.post("/v1/jobs", json=submission(), headers={**headers, "Origin": APP}) as answer:
            assert answer.status == 202
            assert "Location" in answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert "Access-Control-Allow-Credentials" not in answer.headers
        for origin in ("https://evil.example", f"{APP}.evil.example", "http://app.example", f"{APP}:8443"):
            async with http.post("/v1/jobs", json=submission(), headers={**headers, "Origin": origin}) as answer:
                await problem(answer, 403, "forbidden")
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = settings.model_copy(update={"http": Http(port=port)})
        async with opened(busy) as runtime:
            with pytest.raises(ConfigError, match=str(port)):
                async with serving(runtime):
                    pass
