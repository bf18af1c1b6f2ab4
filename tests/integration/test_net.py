"""Downloads and provider sessions against real servers on loopback, which only `net.allow` makes reachable."""

import asyncio
import base64
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from jobrunner.errors import AttemptError, PermanentError, RateLimited, TransientError, UrlNotAllowed
from jobrunner.net import Downloaded, Net
from jobrunner.net.permit import permitted
from tests.hostile.urls import ODD, REFUSED

BODY = b"\x89PNG" * 1000


@dataclass
class Origin:
    """A server whose every path is answered by `answer`; `seen` are the requests that reached it."""

    port: int = 0
    seen: list[web.Request] = field(default_factory=list)
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.answer is None:
            return web.Response(body=BODY, content_type="image/png")
        return await self.answer(request)


@asynccontextmanager
async def serve() -> AsyncIterator[Origin]:
    origin = Origin()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", origin.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin.port = runner.addresses[0][1]
    yield origin
    await runner.cleanup()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serve() as one:
        yield one


@pytest.fixture
async def other() -> AsyncIterator[Origin]:
    async with serve() as one:
        yield one


@pytest.fixture
async def net(origin: Origin) -> AsyncIterator[Net]:
    made = Net([f"127.0.0.1:{origin.port}"])
    yield made
    await made.aclose()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Host names and the addresses that they resolve to, beside the real ones."""
    table: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in table:
            return real(host, port, *rest, **more)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in table[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


async def get(net: Net, url: str, into: Path, *, max_bytes: int = 10_000, total_s: float = 5.0) -> Downloaded:
    return await net.download(url, into, max_bytes=max_bytes, total_s=total_s)


async def refused(net: Net, url: str, into: Path, *, max_bytes: int = 10_000, total_s: float = 5.0) -> AttemptError:
    with pytest.raises(AttemptError) as error:
        await get(net, url, into, max_bytes=max_bytes, total_s=total_s)
    assert files_in(into) == []
    return error.value


def files_in(directory: Path) -> list[str]:
    return [file.name for file in directory.iterdir() if file.is_file()]


def redirecting(to: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": to})

    return answer


def answering(status: int, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


async def test_a_file_arrives_whole_and_private(origin: Origin, net: Net, tmp_path: Path) -> None:
    found = await get(net, f"{origin.url}/a%2Fb.png?sig=x%2By", tmp_path)
    assert found == Downloaded(found.path, "image/png", len(BODY))
    assert found.path.read_bytes() == BODY
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert origin.seen[0].raw_path == "/a%2Fb.png?sig=x%2By"


async def test_a_name_can_be_allowed(origin: Origin, names: dict[str, list[str]], tmp_path: Path) -> None:
    names["files.internal"] = ["127.0.0.1"]
    net = Net(["files.internal"])
    found = await get(net, f"http://files.internal:{origin.port}/a", tmp_path)
    assert found.size_bytes == len(BODY)
    await net.aclose()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]])
async def test_a_public_name_with_a_private_address_is_refused_at_the_socket(
    origin: Origin, names: dict[str, list[str]], tmp_path: Path, addresses: list[str]
) -> None:
    names["rebound.example"] = addresses
    net = Net()
    with pytest.raises(UrlNotAllowed, match="not public"):
        await get(net, f"https://rebound.example:{origin.port}/a", tmp_path)
    assert origin.seen == []
    await net.aclose()


async def test_a_name_that_resolves_otherwise_at_the_next_connection_is_refused_then(
    origin: Origin, names: dict[str, list[str]], tmp_path: Path
) -> None:
    names["rebinding.internal"] = ["127.0.0.1"]
    net = Net(["127.0.0.1"])
    origin.answer = redirecting(f"https://rebinding.internal:{origin.port}/a")
    assert type(await refused(net, f"http://127.0.0.1:{origin.port}/a", tmp_path)) is TransientError  # no TLS there
    names["rebinding.internal"] = ["127.0.0.2"]
    connector = net._session(guarded=True).connector
    assert isinstance(connector, aiohttp.TCPConnector)
    connector.clear_dns_cache()
    with pytest.raises(UrlNotAllowed, match="not public"):
        await get(net, f"http://127.0.0.1:{origin.port}/a", tmp_path)
    await net.aclose()


async def test_a_redirect_to_any_forbidden_url_is_refused(
    origin: Origin, net: Net, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for url in [each for each in (*REFUSED, *ODD) if each.startswith("https://") and each.isprintable()]:
        origin.answer = redirecting(url)
        with subtests.test(url), pytest.raises(UrlNotAllowed):
            await get(net, f"{origin.url}/a", tmp_path)


@pytest.mark.parametrize("https", [False, True])
async def test_a_redirect_to_a_private_place_is_refused(
    origin: Origin, other: Origin, net: Net, names: dict[str, list[str]], tmp_path: Path, *, https: bool
) -> None:
    names["rebound.example"] = ["127.0.0.1"]
    origin.answer = redirecting(f"https://rebound.example:{other.port}/" if https else f"{other.url}/")
    with pytest.raises(UrlNotAllowed):
        await get(net, f"{origin.url}/a", tmp_path)
    assert (len(origin.seen), other.seen) == (1, [])


@pytest.mark.parametrize("to", ["file:///etc/passwd", "http://user:pw@h/", "https://[::1", "https://h:99999/"])
async def test_a_redirect_to_something_else_is_refused(origin: Origin, net: Net, tmp_path: Path, to: str) -> None:
    origin.answer = redirecting(to)
    with pytest.raises(UrlNotAllowed):
        await get(net, f"{origin.url}/a", tmp_path)


async def test_redirects_are_followed_but_not_for_ever(origin: Origin, net: Net, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        left = int(request.path[1:])
        return web.Response(status=307, headers={"Location": str(left - 1)}) if left else web.Response(body=b"end")

    origin.answer = answer
    assert (await get(net, f"{origin.url}/5", tmp_path)).path.read_bytes() == b"end"
    (tmp_path / "again").mkdir()
    assert (await refused(net, f"{origin.url}/6", tmp_path / "again")).code == "artifact_unreachable"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_over_the_cap_is_refused(origin: Origin, net: Net, tmp_path: Path, *, declared: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = web.StreamResponse()
        body.content_length = len(BODY) if declared else None
        await body.prepare(request)
        await body.write(BODY)
        return body

    origin.answer = answer
    error = await refused(net, f"{origin.url}/a", tmp_path, max_bytes=len(BODY) - 1)
    assert (type(error), error.code) == (PermanentError, "artifact_too_large")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_cut_file_is_transient(origin: Origin, net: Net, tmp_path: Path, *, declared: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = web.StreamResponse()
        body.content_length = len(BODY) if declared else None
        await body.prepare(request)
        await body.write(BODY[:100])
        assert request.transport is not None
        request.transport.close()
        return body

    origin.answer = answer
    assert type(await refused(net, f"{origin.url}/a", tmp_path)) is TransientError


async def test_a_drip_ends_with_the_time_given(origin: Origin, net: Net, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = web.StreamResponse()
        await body.prepare(request)
        await body.write(b"drop")
        await asyncio.sleep(60)
        return body

    origin.answer = answer
    error = await refused(net, f"{origin.url}/a", tmp_path, total_s=0.1)
    assert type(error) is TransientError
    assert "within 0.1 s" in str(error)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (403, (PermanentError, "artifact_expired")),
        (404, (PermanentError, "artifact_expired")),
        (410, (PermanentError, "artifact_expired")),
        (418, (PermanentError, "artifact_unreachable")),
        (204, (PermanentError, "artifact_unreachable")),
        (429, (RateLimited, "rate_limited")),
        (503, (TransientError, "transient")),
    ],
)
async def test_a_status_says_whether_to_come_again(
    origin: Origin, net: Net, tmp_path: Path, status: int, meaning: tuple[type[AttemptError], str]
) -> None:
    origin.answer = answering(status, **{"Retry-After": "4"})
    error = await refused(net, f"{origin.url}/a?sig=secret", tmp_path)
    assert (type(error), error.code) == meaning
    assert "secret" not in str(error)
    if isinstance(error, RateLimited):
        assert error.retry_after_s == 4.0


async def test_a_closed_port_is_transient(origin: Origin, tmp_path: Path, unused_tcp_port: int) -> None:
    net = Net([f"127.0.0.1:{unused_tcp_port}"])
    assert type(await refused(net, f"http://127.0.0.1:{unused_tcp_port}/", tmp_path)) is TransientError
    await net.aclose()


async def test_a_data_url_is_decoded(net: Net, tmp_path: Path) -> None:
    text = base64.b64encode(BODY).decode()
    found = await get(net, f"data:image/PNG;charset=x;base64,{text}", tmp_path)
    assert (found.mime, found.path.read_bytes()) == ("image/png", BODY)
    assert (await get(net, "data:,a%20b", tmp_path)).path.read_bytes() == b"a b"


async def test_a_data_url_is_capped_and_checked(net: Net, tmp_path: Path) -> None:
    text = base64.b64encode(BODY).decode()
    assert (await refused(net, f"data:;base64,{text}", tmp_path, max_bytes=3999)).code == "artifact_too_large"
    assert (await refused(net, "data:image/png;base64,%%%", tmp_path)).code == "media_invalid"
    with pytest.raises(UrlNotAllowed):
        await get(net, "data:nonsense", tmp_path)


@pytest.fixture
async def session(origin: Origin) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": "Bearer canary"}
    async with Net().provider_session(f"{origin.url}/v1", headers=headers, max_connections=4, timeout_s=5.0) as made:
        yield made


async def test_a_provider_session_carries_its_key_below_its_base(
    origin: Origin, session: aiohttp.ClientSession
) -> None:
    async with session.post("images?a=1", json={}) as answer:
        assert answer.status == 200
    assert (origin.seen[0].raw_path, origin.seen[0].headers["Authorization"]) == ("/v1/images?a=1", "Bearer canary")


@pytest.mark.parametrize("parts", [0, 2])
async def test_of_what_may_not_leave_any_more_nothing_else_leaves(
    origin: Origin, session: aiohttp.ClientSession, parts: int
) -> None:
    left = count()

    async def permit() -> None:
        if next(left) >= parts:
            raise TransientError("another worker has the job")

    async def film() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield BODY

    with permitted(permit), pytest.raises(aiohttp.ClientConnectionError):
        await session.post("films", data=film())
    async with session.post("films", data=film()) as answer:
        assert answer.status == 200
    assert len(origin.seen) == (2 if parts else 1)


async def test_a_provider_session_never_takes_its_key_elsewhere(
    origin: Origin, other: Origin, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(UrlNotAllowed, match="stays at home"):
        await session.get(f"{other.url}/v1")
    origin.answer = redirecting(f"{other.url}/v1?sig=secret")
    with pytest.raises(PermanentError, match="base_url") as error:
        await session.get("predictions")
    assert error.value.code == "provider_redirects"
    assert "secret" not in str(error.value)
    assert other.seen == []
