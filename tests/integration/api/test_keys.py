"""API keys: who gets in, what a scope and a bound user allow, and URLs that need no key."""

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from click.testing import CliRunner
from pydantic import BaseModel
from yarl import URL

from jobrunner.api.guard.keys import PREFIX, hash_of, new_key
from jobrunner.api.guard.signed_urls import SignedUrls
from jobrunner.cli import main
from jobrunner.declare import TaskContext, task
from jobrunner.events import Event, subscribe
from jobrunner.settings import Settings, load
from jobrunner.settings.tables import Key, RecordTable
from tests.integration.api.conftest import Painted, problem, submission, submit
from tests.integration.api.keyring import PNG, URL_SECRET, bearer, keyed, upload


class Plain(BaseModel):
    colour: str = "red"


class Counted(BaseModel):
    user_id: int | None = None


@task(module="image")
async def api_paint_for_nobody(ctx: TaskContext, params: Plain) -> Painted:
    """Params that name no user."""
    return Painted(colour=params.colour)


@task(module="image")
async def api_paint_by_number(ctx: TaskContext, params: Counted) -> Painted:
    """Params whose user is a number, and may be left out."""
    return Painted(colour=str(params.user_id))


async def test_without_a_known_key_nobody_gets_in(settings: Settings, subtests: pytest.Subtests) -> None:
    async with keyed(settings, web={}) as ring, ring.session() as http:
        key = ring.keys["web"]
        for words in (None, "Bearer", "Bearer ", f"Basic {key}", key):
            with subtests.test("none", words=words):
                async with http.get("/v1/jobs", headers={} if words is None else {"Authorization": words}) as answer:
                    assert "`Authorization: Bearer KEY`" in (await problem(answer, 401, "unauthorized"))["detail"]
                    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="jobrunner"'
        for wrong in (new_key(), key[:-1], f"{key}x", hash_of(key), "jr_\udcff"):
            with subtests.test("wrong", key=repr(wrong)):
                async with http.get("/v1/jobs", headers=bearer(wrong)) as answer:
                    assert wrong not in (await problem(answer, 401, "unauthorized"))["detail"]
                    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        for name in ("key", "api_key", "access_token", "Authorization"):
            with subtests.test("in the query", name=name):
                async with http.get("/v1/jobs", params={name: key}) as answer:
                    await problem(answer, 401, "unauthorized")
        for scheme in ("Bearer", "bearer"):
            with subtests.test("known", scheme=scheme):
                async with http.get("/v1/jobs", headers={"Authorization": f"{scheme} {key}"}) as answer:
                    assert answer.status == 200
        async with http.get("/nowhere") as answer:
            await problem(answer, 404, "not_found")


async def test_a_missing_scope_is_named(settings: Settings) -> None:
    async with keyed(settings, web={}, boss={"scopes": ("admin",)}) as ring:
        async with ring.session("web") as http:
            job_id = await submit(http)
            async with http.post(f"/v1/jobs/{job_id}/cancel") as answer:
                detail = (await problem(answer, 403, "scope_missing"))["detail"]
                assert "'operate'" in detail
                assert "'web' has read, submit" in detail
        async with ring.session("boss") as http, http.post(f"/v1/jobs/{job_id}/cancel") as answer:
            assert answer.status == 202


async def test_a_bound_key_submits_for_its_user_alone(settings: Settings, subtests: pytest.Subtests) -> None:
    async with keyed(settings, seven={"user_id": "7"}) as ring, ring.session("seven") as http:
        for name, params in (
            ("api_paint", {}),
            ("api_paint", {"user_id": "7"}),
            ("api_paint_for_nobody", {}),
            ("api_paint_by_number", {}),
            ("api_paint_by_number", {"user_id": None}),
        ):
            with subtests.test(task=name, params=params):
                async with http.get(f"/v1/jobs/{await submit(http, task=name, params=params)}") as answer:
                    assert (await answer.json())["user_id"] == "7"
        for name, stranger in (("api_paint", "8"), ("api_paint_by_number", 8)):
            with subtests.test(task=name, user=stranger):
                async with http.post("/v1/jobs", json=submission(task=name, params={"user_id": stranger})) as answer:
                    assert "'7'" in (await problem(answer, 403, "forbidden"))["detail"]
        async with http.post("/v1/artifacts?user_id=8", data=PNG) as answer:
            await problem(answer, 403, "forbidden")


async def test_the_same_idempotency_key_of_two_users_is_two(settings: Settings) -> None:
    async with keyed(settings, a={"user_id": "a"}, b={"user_id": "b"}, any={}) as ring:
        jobs = []
        for name in ("a", "b", "any", "a"):
            async with ring.session(name) as http:
                jobs.append(await submit(http, params={"colour": "blue"}, idempotency_key="order-1"))
    assert len(set(jobs)) == 3
    assert jobs[0] == jobs[3]


async def signed(http: aiohttp.ClientSession, path: str, **query: Any) -> URL:
    async with http.post(f"{path}/url", params=query) as answer:
        assert answer.status == 200, await answer.text()
        shown = await answer.json()
    assert shown["expires_at"].endswith("Z")
    return URL(shown["url"])


async def test_a_bound_key_may_not_point_at_rows_of_the_application(settings: Settings, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE pictures (id text PRIMARY KEY, status text)")
    await connection.close()
    mirrored = settings.model_copy(update={"record_tables": {"image": RecordTable(table="pictures")}})
    async with keyed(mirrored, web={}, ada={"user_id": "ada"}) as ring, ring.session("ada") as ada:
        async with ada.post("/v1/jobs", json=submission(record_id="7")) as answer:
            assert "record_id" in (await problem(answer, 403, "forbidden"))["detail"]
        async with ring.session("web") as web, web.post("/v1/jobs", json=submission(record_id="7")) as answer:
            assert answer.status == 202


async def test_a_signed_url_lets_its_holder_download(settings: Settings) -> None:
    async with keyed(settings, a={"user_id": "a"}) as ring:
        async with ring.session("a") as http:
            path = await upload(http)
            url = await signed(http, path)
            briefly = await signed(http, path, expires_s=60)
            assert int(briefly.query["expires"]) - time.time() <= 60 < int(url.query["expires"]) - time.time()
            for wrong in ("0", "604801", "soon"):
                async with http.post(f"{path}/url?expires_s={wrong}") as answer:
                    await problem(answer, 422, "invalid_request")
        async with ring.session() as http:
            async with http.get(url, headers={"Range": "bytes=1-3"}) as answer:
                assert (answer.status, await answer.read()) == (206, b"PNG")
                assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            async with http.head(url) as answer:
                assert answer.status == 200
            async with http.get(path) as answer:
                await problem(answer, 401, "unauthorized")


async def test_a_signed_url_is_for_one_file_and_one_time(settings: Settings, subtests: pytest.Subtests) -> None:
    async with keyed(settings, a={}) as ring:
        async with ring.session("a") as http:
            url, other = await signed(http, await upload(http)), await upload(http)
        later = str(int(url.query["expires"]) + 1)
        async with ring.session() as http:
            for what, tampered in {
                "another file": URL(other).with_query(url.query),
                "no file": URL(f"/v1/artifacts/{uuid4()}").with_query(url.query),
                "a list": URL("/v1/jobs").with_query(url.query),
                "a later end": url.update_query(expires=later),
                "no end": url.without_query_params("expires"),
                "no number": url.update_query(expires="1e9"),
                "another signature": url.update_query(signature="0" * 64),
                "no ASCII": url.update_query(signature="é"),
            }.items():
                with subtests.test(what):
                    async with http.get(tampered) as answer:
                        await problem(answer, 403, "signature_invalid")
            async with http.post(URL(f"{url.path}/url").with_query(url.query)) as answer:
                await problem(answer, 403, "signature_invalid")


async def test_a_signed_url_expires(settings: Settings) -> None:
    async with keyed(settings, a={}) as ring, ring.session("a") as http:
        path = await upload(http)
        async with http.get(SignedUrls(URL_SECRET).sign(path, 60)[0]) as answer:
            assert answer.status == 200
        async with http.get(SignedUrls(URL_SECRET).sign(path, -1)[0]) as answer:
            await problem(answer, 403, "url_expired")


async def test_without_a_secret_it_says_which_setting(settings: Settings) -> None:
    async with keyed(settings, {"url_secret": None}, a={}) as ring, ring.session("a") as http:
        path = await upload(http)
        async with http.post(f"{path}/url") as answer:
            assert "http.url_secret" in (await problem(answer, 409, "signed_urls_off"))["detail"]


async def test_no_key_is_ever_kept_or_told(settings: Settings, database_url: str) -> None:
    heard: list[Event] = []
    told = ""
    with subscribe(heard.append):
        async with keyed(settings, web={}) as ring, ring.session("web") as http:
            await submit(http)
            for path, body in (("/v1/jobs", {"task": "nothing"}), (f"/v1/jobs/{uuid4()}/cancel", None)):
                async with http.post(path, json=body) as answer:
                    told += await answer.text()
    rows = await everything_in(database_url)
    assert "web" in {each.fields.get("caller") for each in heard}
    assert "api_paint" in rows
    for canary in (ring.keys["web"].removeprefix(PREFIX), hash_of(ring.keys["web"])):
        assert canary not in f"{heard} {rows} {told}"


async def everything_in(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'jobrunner'")
        return str([await connection.fetch(f"SELECT * FROM jobrunner.{each['tablename']}") for each in tables])
    finally:
        await connection.close()


def test_a_created_key_comes_with_the_lines_that_let_it_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--scope", "submit", "--scope", "read", "--user", 'a"b', "--jobs-at-once", "5"]
    result = CliRunner().invoke(main, ["keys", "create", "web", *words])
    assert result.exit_code == 0, result.output
    [key] = [line for line in result.stdout.splitlines() if line.startswith(PREFIX)]
    assert len(key) == len(PREFIX) + 43
    assert result.stdout.count(key) == 1
    (tmp_path / "settings.toml").write_text(result.stdout[result.stdout.index("[keys.web]") :], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load().keys["web"] == Key(hash=hash_of(key), scopes=("submit", "read"), user_id='a"b', jobs_at_once=5)
