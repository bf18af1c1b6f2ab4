"""/v1/jobs/{id}/webhooks: what a job's webhooks were told, and telling them again."""

from collections.abc import Iterable

from aiohttp import web

from jobrunner.api import answers
from jobrunner.api.routes import Route, seen_job
from jobrunner.api.shapes import answer, webhooks_json
from jobrunner.client import Client


class Webhooks:
    def __init__(self, client: Client) -> None:
        self._client = client

    def routes(self) -> Iterable[Route]:
        path = "/v1/jobs/{id}/webhooks"
        yield Route(
            *("GET", path, self.show, "read", "Show what webhooks were told of a job"), answers={200: answers.Webhooks}
        )
        yield Route(
            *("POST", f"{path}/replay", self.replay, "operate", "Tell a job's webhooks again how it ended"),
            answers={202: answers.Webhooks},
            problems=("conflict",),
        )

    async def show(self, request: web.Request) -> web.Response:
        job = await seen_job(request, self._client)
        deliveries, disabled = await self._client.deliveries(job)
        return answer(webhooks_json(deliveries, disabled))

    async def replay(self, request: web.Request) -> web.Response:
        job = await seen_job(request, self._client)
        deliveries = await self._client.replay(job.id)
        return answer(webhooks_json(deliveries, ()), status=202)
