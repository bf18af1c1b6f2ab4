"""OpenAI's API: pictures and their edits, videos, speech, chat completions, background responses, webhooks.

Not spoken: `stream: true` but for chat, tools, conversations.
"""

import time
from typing import Final

import orjson
from aiohttp import web

from jobrunner.sandbox import signatures
from jobrunner.sandbox.openai import protocol
from jobrunner.sandbox.openai.chat import Chat
from jobrunner.sandbox.openai.endpoints import Endpoints
from jobrunner.sandbox.openai.images import MODELS as IMAGE_MODELS
from jobrunner.sandbox.openai.images import Images
from jobrunner.sandbox.openai.responses import Responses
from jobrunner.sandbox.openai.speech import MODELS as SPEECH_MODELS
from jobrunner.sandbox.openai.speech import Speech
from jobrunner.sandbox.openai.videos import ID_PREFIX, Videos
from jobrunner.sandbox.openai.videos import MODELS as VIDEO_MODELS
from jobrunner.sandbox.state import State
from jobrunner.sandbox.webhooks import Call

BORN_AT: Final = 1767225600
TEXT_MODELS: Final = ("gpt-5.4-mini", "gpt-5.4")


class OpenAI:
    name = protocol.NAME
    refusals = protocol.REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state
        self._endpoints = Endpoints(state)
        self._responses = Responses(state, self._endpoints)
        self._videos = Videos(state, self._endpoints)
        state.webhooks.speak_for(self.name, self.tell, signatures.standard)

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[protocol.answer_errors])
        app.on_response_prepare.append(protocol.sign)
        guard = self._state.faults.guard
        images, responses, videos, endpoints = Images(self._state), self._responses, self._videos, self._endpoints
        app.add_routes(
            [
                web.post("/v1/images/generations", guard(self, "create", images.generate)),
                web.post("/v1/images/edits", guard(self, "create", images.edit)),
                web.post("/v1/audio/speech", guard(self, "create", Speech(self._state).speak)),
                web.post("/v1/chat/completions", guard(self, "create", Chat(self._state).complete)),
                web.post("/v1/responses", guard(self, "create", responses.create)),
                web.get("/v1/responses/{id}", guard(self, "poll", responses.get)),
                web.post("/v1/responses/{id}/cancel", guard(self, "cancel", responses.cancel)),
                web.delete("/v1/responses/{id}", guard(self, "cancel", responses.delete)),
                web.post("/v1/videos", guard(self, "create", videos.create)),
                web.get("/v1/videos", guard(self, "list", videos.list)),
                web.get("/v1/videos/{id}", guard(self, "poll", videos.get)),
                web.delete("/v1/videos/{id}", guard(self, "cancel", videos.delete)),
                web.get("/v1/videos/{id}/content", guard(self, "file", videos.content)),
                web.post("/v1/webhook_endpoints", endpoints.create),
                web.get("/v1/webhook_endpoints", endpoints.list),
                web.get("/v1/webhook_endpoints/{id}", endpoints.get),
                web.delete("/v1/webhook_endpoints/{id}", endpoints.delete),
                web.get("/v1/models", guard(self, "list", self.models)),
            ]
        )
        return app

    async def tell(self, call: Call) -> bytes | None:
        """An event names the work alone; what became of it is asked for."""
        part = self._videos if call.work.startswith(ID_PREFIX) else self._responses
        if part.event(call.work) != call.event:
            return None
        event = {"id": f"evt_{call.id}", "object": "event", "created_at": int(time.time()), "type": call.event}
        return orjson.dumps(event | {"data": {"id": call.work}})

    async def models(self, _request: web.Request) -> web.Response:
        names = (*IMAGE_MODELS, *VIDEO_MODELS, *SPEECH_MODELS, *TEXT_MODELS)
        data = [{"id": name, "object": "model", "created": BORN_AT, "owned_by": "openai"} for name in names]
        return web.Response(body=orjson.dumps({"object": "list", "data": data}), content_type="application/json")
