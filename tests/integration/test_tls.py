"""Postgres and Redis over TLS, and behind passwords that are odd: who is trusted, who is not, and what is said then."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest
import redis
import trustme
from arq.connections import create_pool

from jobrunner.broker.connection import arq_settings
from jobrunner.broker.queue import Queue
from jobrunner.embedded import RunInfo
from jobrunner.errors import ConfigError, Unavailable
from jobrunner.settings import load
from jobrunner.store.migrate import migrate
from jobrunner.store.postgres import Store
from tests.conftest import Serving, apart
from tests.tls import Front

ODD = ["@:/#?&[] canary", "grün ☂ canary", "%41canary", "canary 100%", "p@ss:w/rd", "'\"\\$canary", "+ canary"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """An authority that signed nothing here."""
    path = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
async def postgres(authority: trustme.CA, database_url: str) -> AsyncIterator[Front]:
    async with _postgres(authority, database_url) as front:
        yield front


@asynccontextmanager
async def _postgres(
    authority: trustme.CA, database_url: str, *, clients: trustme.CA | None = None
) -> AsyncIterator[Front]:
    there = Path(parse_qs(urlsplit(database_url).query)["host"][0], ".s.PGSQL.5432")
    front = Front(there, authority.issue_cert("localhost"), asks_first=True, clients=clients)
    async with front.listening():
        yield front


@pytest.fixture
async def valkey(authority: trustme.CA, redis_url: str) -> AsyncIterator[Front]:
    async with Front(Path(urlsplit(redis_url).path), authority.issue_cert("localhost")).listening() as front:
        yield front


def postgres_at(front: Front, database_url: str, *, host: str = "localhost", **asked: object) -> str:
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return f"postgresql://jobrunner@{host}:{front.port}{urlsplit(database_url).path}?{query}"


def redis_at(front: Front, *, host: str = "localhost", **asked: object) -> str:
    return f"rediss://{host}:{front.port}/0?" + "&".join(f"{name}={value}" for name, value in asked.items())


async def ask_postgres(url: str) -> None:
    async with Store.opened(load(database_url=url)) as store:
        assert await store.missing_migrations() == []


async def ask_redis(url: str) -> None:
    queue = Queue(url, name="arq:queue")
    try:
        assert await queue.depth() >= 0
    finally:
        await queue.aclose()


async def ask_by_arq(url: str) -> None:
    """As `arq --check` does."""
    settings = arq_settings(url)
    settings.conn_retries = 0
    pool = await create_pool(settings)
    await pool.aclose(close_connection_pool=True)


async def test_postgres_is_trusted_by_its_authority_and_name(postgres: Front, database_url: str, ca: Path) -> None:
    url = postgres_at(postgres, database_url, sslmode="verify-full", sslrootcert=ca)
    await ask_postgres(url)
    assert await migrate(url) == []
    assert set(postgres.spoken) == {"TLSv1.3"}


async def test_postgres_may_be_trusted_as_this_machine_trusts(
    postgres: Front, database_url: str, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_at(postgres, database_url, sslrootcert="system")
    with pytest.raises(ConfigError, match="the server's certificate is refused"):
        await ask_postgres(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    await ask_postgres(url)


async def test_a_postgres_that_is_not_trusted_stops_the_start(
    postgres: Front, database_url: str, ca: Path, stranger: Path
) -> None:
    wrong_ca = postgres_at(postgres, database_url, sslmode="verify-full", sslrootcert=stranger)
    wrong_name = postgres_at(postgres, database_url, host="127.0.0.1", sslmode="verify-full", sslrootcert=ca)
    no_file = postgres_at(postgres, database_url, sslmode="verify-full", sslrootcert="/gone/ca.pem")
    for url, says in (
        (wrong_ca, r"`database_url`: .*certificate is refused.*authority that signed it: sslrootcert=/path"),
        (wrong_name, r"`database_url`: .*certificate is refused.*by a name that stands in its certificate"),
        (no_file, r"`database_url`: its sslrootcert names /gone/ca\.pem, which cannot be read: No such file"),
    ):
        with pytest.raises(ConfigError, match=says):
            await ask_postgres(url)
        with pytest.raises(ConfigError, match=says):
            await migrate(url)
    assert postgres.spoken == []


async def test_redis_is_trusted_by_its_authority_and_name(valkey: Front, ca: Path) -> None:
    url = redis_at(valkey, ssl_ca_certs=ca)
    await ask_redis(url)
    await ask_by_arq(url)
    assert set(valkey.spoken) == {"TLSv1.3"}


async def test_a_redis_that_is_not_trusted_is_not_spoken_to(valkey: Front, ca: Path, stranger: Path) -> None:
    for url, says in (
        (redis_at(valkey), r"`redis_url`: .*certificate is refused.*authority that signed it: ssl_ca_certs=/path"),
        (redis_at(valkey, ssl_ca_certs=stranger), r"certificate is refused.*authority that signed it: ssl_ca_certs"),
        (redis_at(valkey, host="127.0.0.1", ssl_ca_certs=ca), r"by a name that stands in its certificate"),
    ):
        with pytest.raises(Unavailable, match=says):
            await ask_redis(url)
        with pytest.raises(redis.ConnectionError):
            await ask_by_arq(url)
    assert valkey.spoken == []


async def test_a_server_that_answers_in_clear_is_told_as_that() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match=r"`redis_url`: TLS failed .*Does the server speak it on this port"):
            await ask_redis(f"rediss://localhost:{port}/0")


async def test_redis_may_be_spoken_to_unchecked_where_the_url_says_so(valkey: Front) -> None:
    url = redis_at(valkey, ssl_cert_reqs="none")
    await ask_redis(url)
    await ask_by_arq(url)


async def test_servers_that_want_a_client_certificate_get_it(
    authority: trustme.CA, database_url: str, redis_url: str, ca: Path, tmp_path: Path
) -> None:
    client, key = tmp_path / "client.pem", tmp_path / "client.key"
    mine = authority.issue_cert("jobs@jobrunner.example")
    mine.cert_chain_pems[0].write_to_path(str(client))
    mine.private_key_pem.write_to_path(str(key))
    async with _postgres(authority, database_url, clients=authority) as front:
        asked: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": ca}
        await ask_postgres(postgres_at(front, database_url, **asked, sslcert=client, sslkey=key))
        with pytest.raises((ConfigError, Unavailable)):
            await ask_postgres(postgres_at(front, database_url, **asked))
    there = Path(urlsplit(redis_url).path)
    async with Front(there, authority.issue_cert("localhost"), clients=authority).listening() as front:
        url = redis_at(front, ssl_ca_certs=ca, ssl_certfile=client, ssl_keyfile=key)
        await ask_redis(url)
        await ask_by_arq(url)
        with pytest.raises(Unavailable):
            await ask_redis(redis_at(front, ssl_ca_certs=ca))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("ssl_ca_certs=/gone/ca.pem", r"`redis_url`: its ssl_ca_certs names /gone/ca\.pem, which cannot be read"),
        ("ssl_ca_cert=/etc/ca.pem", r"redis_url does not work: .*ssl_ca_cert"),
        ("ssl_cert_reqs=perhaps", r"redis_url does not work: .*perhaps"),
        (f"ssl_ca_certs={__file__}", r"redis_url does not work: .*"),
    ],
)
def test_a_wrong_parameter_for_redis_stops_the_start(query: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        Queue(f"rediss://:canary@h/0?{query}", name="arq:queue")
    assert "canary" not in str(refused.value)


@pytest.fixture(scope="module")
def guarded(serving: type[Serving], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunInfo]:
    """Servers of our own, with an account for each odd password."""
    directory = tmp_path_factory.mktemp("g")
    with serving(directory) as run:
        info = run.info()
        rules = directory / "postgres/cluster/pg_hba.conf"
        rules.write_text(f"local all /^odd scram-sha-256\n{rules.read_text()}")
        apart(_accounts(info))
        with redis.Redis.from_url(info.redis_url) as client:
            for number, password in enumerate(ODD):
                allowed: Any = {"keys": "*", "commands": ["+@all"], "enabled": True}
                client.acl_setuser(f"odd{number}", passwords=[f"+{password}"], **allowed)
        yield info


async def _accounts(info: RunInfo) -> None:
    connection = await asyncpg.connect(info.database_url)
    await migrate(info.database_url)
    for number, password in enumerate(ODD):
        literal = await connection.fetchval("SELECT quote_literal($1)", password)
        await connection.execute(f"CREATE ROLE odd{number} LOGIN SUPERUSER PASSWORD {literal}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    stranger = info.database_url.replace("user=jobrunner", "user=odd0&password=wrong")
    async with asyncio.timeout(10):
        while await _lets_in(stranger):  # it reads its rules some time after it was told to
            pass


async def _lets_in(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidPasswordError:
        return False
    await connection.close()
    return True


def with_account(url: str, user: str, password: str) -> str:
    scheme, _, place = url.partition("://")
    return f"{scheme}://{user}:{password}@{place.replace('&user=jobrunner', '')}"


@pytest.mark.parametrize("number", range(len(ODD)))
async def test_odd_passwords_open_both_servers(guarded: RunInfo, number: int, subtests: pytest.Subtests) -> None:
    user, password = f"odd{number}", ODD[number]
    written: dict[str, Any] = {"encoded": quote(password, safe="")}
    if not password.startswith("%41"):
        written["as it is"] = password
    for way, text in written.items():
        with subtests.test(way):
            await ask_postgres(with_account(guarded.database_url, user, text))
            url = load(redis_url=with_account(guarded.redis_url, user, text)).redis_url
            assert url is not None
            await ask_redis(url.get_secret_value())
            await ask_by_arq(url.get_secret_value())


async def test_a_wrong_password_is_refused_and_not_shown(guarded: RunInfo) -> None:
    with pytest.raises(ConfigError, match="password authentication failed") as refused:
        await ask_postgres(with_account(guarded.database_url, "odd0", "canary"))
    with pytest.raises(Unavailable, match="invalid username-password pair") as silent:
        await ask_redis(with_account(guarded.redis_url, "odd0", "canary"))
    assert "canary" not in f"{refused.value!r} {silent.value!r}"
