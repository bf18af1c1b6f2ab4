"""The document of the running server: valid, complete, and true of what the server answers; its examples work."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import aiohttp
import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel

from jobrunner.api.app import make_app
from jobrunner.api.examples import PARAMS
from jobrunner.api.openapi import document
from jobrunner.api.routes import ROUTES, Route
from jobrunner.broker.queue import Queue
from jobrunner.errors import Unavailable
from jobrunner.runtime import Runtime
from jobrunner.settings import Settings
from jobrunner.settings.tables import SCOPES, Net
from tests.integration.api.conftest import submission, submit, working
from tests.integration.api.keyring import PNG, Keyring, keyed, upload
from tests.receiver import SIGNED, SOON_S, Receiver, receiving

CURL = 'curl() { command curl --fail-with-body --max-time 20 "$@"; }\n'


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def ring(settings: Settings, receiver: Receiver) -> AsyncIterator[Keyring]:
    told = settings.model_copy(update={"webhooks": SIGNED, "net": Net(allow=(receiver.host,))})
    async with keyed(told, all={"scopes": tuple(SCOPES)}) as ring:
        yield ring


def routes(runtime: Runtime) -> list[Route]:
    return list({(each.method, each.path): each for each in make_app(runtime)[ROUTES].values()}.values())


async def described(http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.get("/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        made: dict[str, Any] = await answer.json()
        return made


async def test_it_is_valid_and_lists_every_route(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    made = await described(http)
    validate(made)
    for route in routes(runtime):
        operation = made["paths"][route.path][route.method.lower()]
        assert any(status.startswith(("2", "3")) for status in operation["responses"]), f"{route.path} answers what?"
        asked = [scope for way in operation["security"] for scope in way.get("bearer", ())]
        assert asked == ([route.scope] if route.scope else [])
    assert "submit.api_paint" in made["components"]["schemas"]


async def test_what_routes_name_is_in_the_tables(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    made = await described(http)
    words = {code["word"] for code in made["x-problem-codes"]}
    headers = {*made["components"]["parameters"], *made["components"]["headers"]}
    for route in routes(runtime):
        assert set(route.problems) <= words, route.path
        assert set(route.headers) <= headers, route.path


async def test_it_is_made_once_and_named_by_its_content(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Mock(side_effect=document)
    monkeypatch.setattr("jobrunner.api.reference.document", make)
    for path in ("/openapi.json", "/docs", "/docs/page.css"):
        async with http.get(path) as answer:
            assert answer.status == 200
            tag = answer.headers["ETag"]
        for words, status in ((tag, 304), ("*", 304), ('"other"', 200)):
            async with http.get(path, headers={"If-None-Match": words}) as answer:
                assert (answer.status, answer.headers["ETag"]) == (status, tag)
    make.assert_called_once()


# ---- what the server answers is what is documented ---------------------------------------------


class Witness:
    """Asks, and holds each answer to the model that its route documents. Nothing beyond the model may be there."""

    def __init__(self, http: aiohttp.ClientSession, listed: Iterable[Route]) -> None:
        self._http = http
        self._routes = {(each.method, each.path): each for each in listed}
        self.unseen = {
            (*key, status)
            for key, route in self._routes.items()
            for status, model in route.answers.items()
            if isinstance(model, type)
        }

    async def ask(self, method: str, path: str, *, status: int, id: str = "", **more: Any) -> Any:
        async with self._http.request(method, path.replace("{id}", id), **more) as answer:
            assert answer.status == status, await answer.text()
            text = await answer.text()
        model = self._routes[method, path].answers[status]
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        model.model_validate_json(text, extra="forbid")
        self.unseen.discard((method, path, status))
        return json.loads(text)


async def test_every_answer_is_as_documented(ring: Keyring, receiver: Receiver) -> None:
    async with ring.session("all") as http:
        see = Witness(http, routes(ring.runtime))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Queue, "check", AsyncMock(side_effect=Unavailable("Redis did not answer.")))
            await see.ask("GET", "/startupz", status=503)
        for path in ("/", "/livez", "/startupz", "/v1/tasks"):
            await see.ask("GET", path, status=200)
        await see.ask("GET", "/v1/session", status=200)
        await see.ask("POST", "/v1/session", status=200, json={"key": ring.keys["all"]})
        await see.ask("GET", "/readyz", status=503)
        artifact = await see.ask("POST", "/v1/artifacts", status=201, data=PNG)
        await see.ask("POST", "/v1/artifacts/{id}/url", status=200, id=artifact["id"])
        await see.ask("GET", "/v1/artifacts", status=200)
        async with working(ring.runtime):
            await see.ask("GET", "/readyz", status=200)
            await _jobs(see, receiver)
            await see.ask("GET", "/v1/overview", status=200)
        await _many(see)
    assert see.unseen == set()


async def _jobs(see: Witness, receiver: Receiver) -> None:
    for fails in (False, True):
        body = submission(params={"fails": fails}, metadata={"n": 1}, webhook=receiver.url)
        headers = {"Prefer": f"wait={SOON_S:g}"}
        job = await see.ask("POST", "/v1/jobs", status=200, json=body, headers=headers)
        assert job["steps"]
        await see.ask("GET", "/v1/jobs/{id}", status=200, id=job["id"])
        logs = await see.ask("GET", "/v1/jobs/{id}/logs", status=200, id=job["id"])
        assert logs["data"]
    shown = await see.ask("GET", "/v1/jobs/{id}/webhooks", status=200, id=job["id"])
    assert shown["data"]
    await see.ask("POST", "/v1/jobs/{id}/webhooks/replay", status=202, id=job["id"])
    await see.ask("POST", "/v1/jobs/{id}/retry", status=202, id=job["id"])
    listed = await see.ask("GET", "/v1/jobs", status=200, params={"limit": "1"})
    assert listed["has_more"]


async def _many(see: Witness) -> None:
    job = await see.ask("POST", "/v1/jobs", status=202, json=submission(delay_s=3600))
    await see.ask("POST", "/v1/jobs/{id}/cancel", status=202, id=job["id"])
    jobs = [submission(), submission(task="nobody"), {"task": "api_paint"}]
    batch = await see.ask("POST", "/v1/jobs:batch", status=200, json={"jobs": jobs})
    assert [each["status"] for each in batch["data"]] == [202, 404, 422]
    for verb in ("cancel", "retry"):
        await see.ask("POST", f"/v1/jobs:{verb}", status=200, json={"task": "api_paint"})


# ---- examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMS)
async def test_the_example_of_each_built_in_task_is_taken(http: aiohttp.ClientSession, name: str) -> None:
    await submit(http, task=name, params=PARAMS[name])


async def test_every_built_in_task_has_an_example(runtime: Runtime) -> None:
    built_in = {
        name for name, spec in runtime.client.tasks.items() if spec.function.__module__.startswith("jobrunner.tasks.")
    }
    assert built_in == set(PARAMS)


async def test_the_curl_examples_work(
    ring: Keyring, receiver: Receiver, tmp_path: Path, subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.api.streams.watching.LONGEST_S", 0.01)
    file = tmp_path / "picture.png"
    file.write_bytes(PNG)
    async with ring.session("all") as http, working(ring.runtime):
        made = await described(http)
        artifact = (await upload(http)).rpartition("/")[2]
        done = await submit(http, webhook=receiver.url)
        await receiver.has(1)
        await ring.runtime.notices.previews.put(UUID(done), PNG)
        samples = [
            (operation["operationId"], each["source"])
            for methods in made["paths"].values()
            for operation in methods.values()
            for each in operation.get("x-codeSamples", ())
        ]
        assert samples
        for name, source in samples:
            with subtests.test(name):
                waiting = await submit(http, delay_s=3600)
                if name.endswith("_retry"):
                    await http.post(f"/v1/jobs/{waiting}/cancel")
                job = waiting if name.endswith(("_cancel", "_retry")) else done
                words = {"JOBRUNNER": ring.url, "KEY": ring.keys["all"], "JOB": job, "ARTIFACT": artifact}
                code, said = await run(CURL + source, {**words, "FILE": str(file)})
                assert code == 0, said


async def run(script: str, variables: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode(errors="replace")
