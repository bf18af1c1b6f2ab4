"""/v1/jobs/{id}/webhooks: what a job's webhooks were told, and telling them again."""

from aiohttp import web

from jobrunner.api.intake import read_id
from jobrunner.api.shapes import answer, webhooks_json
from jobrunner.client import Client


class Webhooks:
    def __init__(self, client: Client) -> None:
        self._client = client

    def add_to(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.get("/v1/jobs/{id}/webhooks", self.show),
                web.post("/v1/jobs/{id}/webhooks/replay", self.replay),
            ]
        )

    async def show(self, request: web.Request) -> web.Response:
        job = await self._client.get(read_id(request, "job"))
        deliveries, disabled = await self._client.deliveries(job)
        return answer(webhooks_json(deliveries, disabled))

    async def replay(self, request: web.Request) -> web.Response:
        deliveries = await self._client.replay(read_id(request, "job"))
        return answer(webhooks_json(deliveries, ()), status=202)
