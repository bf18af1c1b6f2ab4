"""/metrics of the server: what waits in Postgres, who may know, and what is left out while Postgres is away."""

import aiohttp

from jobrunner.api import serving
from jobrunner.observe.metrics import Metrics
from jobrunner.runtime import Runtime
from jobrunner.settings import Settings
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.probing import measure
from tests.integration.api.conftest import problem, submit
from tests.integration.api.keyring import keyed


async def figures(http: aiohttp.ClientSession) -> dict[str, float]:
    """Ours, by their names and labels."""
    async with http.get("/metrics") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain"), await answer.text()
        lines = (await answer.text()).splitlines()
    ours = (line.rpartition(" ") for line in lines if line.startswith("jobrunner_"))
    return {name.removeprefix("jobrunner_"): float(value) for name, _, value in ours}


async def test_what_waits_and_for_how_long(http: aiohttp.ClientSession) -> None:
    await submit(http)
    await submit(http, delay_s=3600)
    found = await figures(http)
    assert found['jobs{status="pending",task="api_paint"}'] == 2
    assert found['jobs{status="in_progress",task="api_paint"}'] == 0
    assert 0 <= found['queue_age_seconds{task="api_paint"}'] < 60
    assert found['jobs_submitted_total{task="api_paint"}'] == 2
    assert found["pool_connections_limit"] == 10
    assert not any(name.startswith("in_flight") for name in found), "that is a worker's to tell"


async def test_what_has_ended_waits_no_longer(http: aiohttp.ClientSession) -> None:
    job_id = await submit(http)
    assert (await figures(http))['jobs{status="pending",task="api_paint"}'] == 1
    async with http.post(f"/v1/jobs/{job_id}/cancel") as answer:
        assert answer.status == 202
    found = await figures(http)
    assert not any(name.startswith(("jobs{", "queue_age")) for name in found)


async def test_a_process_that_also_works_tells_both(runtime: Runtime) -> None:
    metrics = Metrics(runtime.store)
    measure(WorkerLoop(runtime), metrics)
    async with serving(runtime, metrics) as url, aiohttp.ClientSession(url) as http:
        await submit(http)
        found = await figures(http)
    assert found["slots"] == 1000
    assert found['jobs{status="pending",task="api_paint"}'] == 1


async def test_it_answers_without_postgres(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    await submit(http)
    await runtime.store._db.pool.close()
    found = await figures(http)
    assert found['jobs_submitted_total{task="api_paint"}'] == 1
    assert not any(name.startswith(("jobs{", "queue_age")) for name in found)


async def test_a_key_that_is_bound_to_a_user_sees_no_figures(settings: Settings) -> None:
    async with keyed(settings, scraper={}, bound={"user_id": "u1"}) as ring:
        async with ring.session("bound") as http, http.get("/metrics") as answer:
            document = await problem(answer, 403, "forbidden")
        assert "bound to nobody" in document["detail"]
        async with ring.session("scraper") as http:
            assert "loop_lag_seconds" in await figures(http)
