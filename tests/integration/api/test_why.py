"""A job in full says why it is not running; one that runs or has ended has nothing to say."""

import aiohttp

from jobrunner.runtime import Runtime
from tests.integration.api.conftest import submit, working


async def why(http: aiohttp.ClientSession, id: str, **headers: str) -> str | None:
    async with http.get(f"/v1/jobs/{id}", headers=headers) as answer:
        found: str | None = (await answer.json())["why"]
        return found


async def test_a_job_says_what_it_waits_for(http: aiohttp.ClientSession, runtime: Runtime) -> None:
    due, later = await submit(http), await submit(http, delay_s=600)
    assert "No worker is alive on its queue, 'arq:queue'" in str(await why(http, due))
    assert "It was submitted to run at" in str(await why(http, later))
    async with working(runtime):
        assert await why(http, due, Prefer="wait=30") is None
    async with http.post(f"/v1/jobs/{later}/cancel") as answer:
        assert (await answer.json())["why"] is None
